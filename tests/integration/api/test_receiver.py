"""Who may report progress, by tokens that a real API server makes and reviews: pods of the running attempt alone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import PODS, TRAINING_JOBS, Manifest, NotFoundError, ResourceKind
from fettle_schema.names import FIELD_MANAGER_OPERATOR, LABEL_ATTEMPT, LABEL_JOB_UID, progress_audience
from tests.support.facade import running_facade
from tests.support.fake_kubelet import training_job
from tests.support.polling import eventually

ACCOUNTS = ResourceKind("v1", "ServiceAccount", "serviceaccounts")
REPORT = {"time": "2026-01-01T12:00:00Z", "attempt": 1, "kind": "step", "stage": "training", "step": 3}
TOO_LARGE = {**REPORT, "message": "x" * 70_000}


@dataclass
class Reporting:
    """A facade with a receiver, and the pods that report to it."""

    client: KubernetesClient
    namespace: str
    caller: httpx.AsyncClient

    async def run_job(self, name: str, attempt: int = 1) -> str:
        """A job in its n-th attempt; its uid."""
        manifest = training_job(name)
        manifest["metadata"]["namespace"] = self.namespace
        uid = (await self.client.create(TRAINING_JOBS, manifest))["metadata"]["uid"]
        status = {"phase": "Running", "attempts": {"current": attempt}}
        await self.client.apply_status(TRAINING_JOBS, name, self.namespace, status, FIELD_MANAGER_OPERATOR)
        return str(uid)

    async def pod(self, name: str, job_uid: str, attempt: int = 1) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace}
        labels = {LABEL_JOB_UID: job_uid, LABEL_ATTEMPT: str(attempt)}
        container = {"name": "trainer", "image": "fettle-trainer:test"}
        return await self.client.create(
            PODS, {"metadata": {**metadata, "labels": labels}, "spec": {"containers": [container]}}
        )

    async def token(self, pod: Manifest, job: str, attempt: int = 1, audience: str | None = None) -> str:
        """What the kubelet gives a pod that asks for this audience; for the API server itself if it is empty."""
        wanted = progress_audience(self.namespace, job, attempt) if audience is None else audience
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"namespace": self.namespace},
            "spec": {"audiences": [wanted] if wanted else [], "boundObjectRef": bound},
        }
        kind = ResourceKind("v1", "TokenRequest", "serviceaccounts/default/token")
        return str((await self.client.create(kind, request))["status"]["token"])

    async def post(self, token: str, job: str = "demo", attempt: int = 1, body: Any = None) -> int:
        path = f"/progress/v1/namespaces/{self.namespace}/trainingjobs/{job}/attempts/{attempt}"
        report = body or {**REPORT, "attempt": attempt}
        answer = await self.caller.post(path, headers={"authorization": f"Bearer {token}"}, json=report)
        return answer.status_code

    async def progress(self, job: str = "demo") -> Manifest:
        found = await self.client.get(TRAINING_JOBS, job, self.namespace)
        return dict(found["status"].get("progress") or {})


@pytest.fixture
async def reporting(client: KubernetesClient, namespace: str, tmp_path: Path) -> AsyncIterator[Reporting]:
    async def has_account() -> bool:
        try:
            await client.get(ACCOUNTS, "default", namespace)
        except NotFoundError:
            return False
        return True

    await eventually(has_account, "the namespace has its service account")
    settings = {"namespace": namespace, "progress_interval_seconds": 0.2}
    async with running_facade(tmp_path, client=client, **settings) as facade, facade.caller(None) as caller:
        yield Reporting(client, namespace, caller)


async def test_a_pod_of_the_attempt_is_heard(reporting: Reporting) -> None:
    pod = await reporting.pod("demo-a1-x", await reporting.run_job("demo"))
    assert await reporting.post(await reporting.token(pod, "demo")) == 200

    async def is_written() -> bool:
        return (await reporting.progress()).get("step") == 3

    await eventually(is_written, "the report is in the status")


async def test_a_token_of_another_job_is_refused_whatever_it_is_for(reporting: Reporting) -> None:
    await reporting.run_job("demo")
    other = await reporting.pod("other-a1-x", await reporting.run_job("other"))
    assert await reporting.post(await reporting.token(other, "other")) == 401
    assert await reporting.post(await reporting.token(other, "demo")) == 403
    assert await reporting.post(await reporting.token(other, "other"), job="other") == 200


async def test_a_token_of_a_deleted_pod_is_refused(reporting: Reporting) -> None:
    pod = await reporting.pod("demo-a1-x", await reporting.run_job("demo"))
    token = await reporting.token(pod, "demo")
    await reporting.client.delete(PODS, "demo-a1-x", reporting.namespace)

    async def is_gone() -> bool:
        return not (await reporting.client.list(PODS, reporting.namespace)).items

    await eventually(is_gone, "the pod is gone")
    assert await reporting.post(token) == 401


@pytest.mark.parametrize("audience", ["", "https://kubernetes.default.svc", "fettle.dev/progress/elsewhere/demo/1"])
async def test_a_token_for_something_else_is_refused(reporting: Reporting, audience: str) -> None:
    pod = await reporting.pod("demo-a1-x", await reporting.run_job("demo"))
    assert await reporting.post(await reporting.token(pod, "demo", audience=audience)) == 401


async def test_a_body_that_is_too_large_is_refused_and_the_next_is_heard(reporting: Reporting) -> None:
    pod = await reporting.pod("demo-a1-x", await reporting.run_job("demo"))
    token = await reporting.token(pod, "demo")
    assert await reporting.post(token, body=TOO_LARGE) == 413
    assert await reporting.post(token) == 200


async def test_a_report_of_an_attempt_that_is_over_is_refused(reporting: Reporting) -> None:
    uid = await reporting.run_job("demo", attempt=2)
    old, new = await reporting.pod("demo-a1-x", uid), await reporting.pod("demo-a2-x", uid, attempt=2)
    assert await reporting.post(await reporting.token(old, "demo")) == 403
    assert await reporting.post(await reporting.token(old, "demo", attempt=2), attempt=2) == 403
    assert await reporting.post(await reporting.token(new, "demo", attempt=2), attempt=2) == 200
