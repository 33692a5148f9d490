"""The progress receiver: pods of running attempts post here. Routes and the checks of one report; reports are kept
and written elsewhere. A run never depends on it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError

from fettle_api.errors import (
    BodyError,
    ForbiddenError,
    JobFinishedError,
    JobNotFoundError,
    UnauthenticatedError,
    status_of,
)
from fettle_api.identity.token_reviews import PodTokens
from fettle_api.metrics import Metrics
from fettle_api.progress.kubeflow import event_of_kubeflow, is_kubeflow_report
from fettle_api.progress.reports import Reports
from fettle_api.resources.models import JobView
from fettle_api.resources.store import Store
from fettle_api.web.body import read_object
from fettle_schema.errors import FettleError
from fettle_schema.layout import CHECKPOINTS, attempt_directory
from fettle_schema.run import ProgressEvent

MAX_REPORT_BYTES = 64 * 1024


def build_receiver(store: Store, tokens: PodTokens, reports: Reports, metrics: Metrics) -> APIRouter:
    """The route that FETTLE_PROGRESS_URL of a pod leads to."""
    router = APIRouter()

    @router.post("/progress/v1/namespaces/{namespace}/trainingjobs/{name}/attempts/{attempt}")
    async def receive(request: Request, namespace: str, name: str, attempt: str) -> dict[str, bool]:
        with _counted(metrics):
            token = _bearer_token(request)
            job = await _job(store, namespace, name)
            number = _attempt_number(attempt)
            await tokens.check(token, job, number)
            event = _event(await read_object(request, MAX_REPORT_BYTES), job, number)
            _refuse_late(job, number)
            reports.add(job, event)
        return {"accepted": True}

    return router


@contextmanager
def _counted(metrics: Metrics) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # counted, not caught: whatever it is goes on to the edge of the process
        is_refused = isinstance(error, FettleError) and status_of(error) < 500
        metrics.report_ended("refused" if is_refused else "failed")
        raise
    metrics.report_ended("accepted")


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or len(token) > 16384:
        raise UnauthenticatedError("the pod's token is needed: Authorization: Bearer <token>")
    return token.strip()


async def _job(store: Store, namespace: str, name: str) -> JobView:
    """A job's existence is no secret to its own pods alone, so an unknown one is refused like a wrong token."""
    if namespace != store.namespace:
        raise UnauthenticatedError(f"this receiver serves namespace {store.namespace!r} only")
    try:
        return await store.get_job(name)
    except JobNotFoundError as error:
        raise UnauthenticatedError("the token is not valid for this job") from error


def _attempt_number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < len(text) <= 6 or int(text) < 1:
        raise ForbiddenError(f"{text!r} is no number of an attempt")
    return int(text)


def _event(body: Mapping[str, Any], job: JobView, attempt: int) -> ProgressEvent:
    if is_kubeflow_report(body):
        progress = job.status.progress
        return event_of_kubeflow(body, attempt, progress.total_steps if progress else None)
    try:
        event = ProgressEvent.model_validate(body)
    except ValidationError as error:
        raise BodyError("; ".join(_finding(finding) for finding in error.errors()[:5])) from None
    if event.attempt != attempt:
        raise BodyError(f"attempt: is {event.attempt}, but the address says {attempt}")
    if event.time.tzinfo is None:
        raise BodyError("time: must have a time zone")
    place = f"{attempt_directory(job.name, job.uid, attempt)}/{CHECKPOINTS}/"
    checkpoint = event.checkpoint
    if checkpoint and (checkpoint.attempt != attempt or checkpoint.path != place + checkpoint.name):
        raise BodyError(f"checkpoint.path: must be {place}<name>, and checkpoint.attempt {attempt}")
    return event


def _finding(finding: Mapping[str, Any]) -> str:
    return f"{'.'.join(map(str, finding['loc']))}: {finding['msg']}"


def _refuse_late(job: JobView, attempt: int) -> None:
    if job.is_finished:
        raise JobFinishedError(f"training job {job.name!r} has ended")
    if job.status.attempts and attempt < job.status.attempts.current:
        raise ForbiddenError(f"attempt {attempt} is over; attempt {job.status.attempts.current} is running")
