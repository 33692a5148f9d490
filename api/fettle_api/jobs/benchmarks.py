"""Scores of models: one benchmark for each, a TrainingJob of its own, whose report is kept. No HTTP, no dialect.

The benchmark of a model has a name that follows from the job that made it, so however often and by however many
facades it is asked for, there is one, and the same model has the same scores. It asks few questions: it is to be
quick. docs/scores.md says how scores are made.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fettle_api.errors import BenchmarkFailedError, BenchmarkRunningError, BodyError, FileMissingError, JobNotFoundError
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.submissions import Submissions
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.resources.store import Store
from fettle_api.web.body import parse_json
from fettle_client.protocol import AlreadyExistsError
from fettle_schema.errors import FettleError
from fettle_schema.names import job_directory, slug, uid8
from fettle_schema.training_job import Method
from fettle_schema.vocabulary import Phase

DIALECT = "benchmark"
"""What annotation `fettle.dev/dialect` of a benchmark says: nobody's own job."""
SCORES = ("coherence", "consistency", "helpfulness")
QUESTIONS = 4
"""Prompts that are asked: on two CPU cores and a small model, a minute or two."""
REPORT_FILE = "benchmark.json"
_MAX_REPORT_BYTES = 4 * 1024 * 1024
_LATELY = timedelta(minutes=10)
_POLL_SECONDS = 0.1

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BenchmarkView:
    """The benchmark of a model."""

    job: JobView
    scores: Mapping[str, float | None] | None = None
    """Once it has succeeded; a score that the data cannot tell is None."""


class Benchmarks:
    """Benchmarks of models that jobs made. Those of `automatic` dialects are started when the job has succeeded."""

    def __init__(
        self,
        store: Store,
        submissions: Submissions,
        workspace: Workspace,
        clock: Callable[[], datetime],
        wait_seconds: float,
        automatic: Collection[str] = (),
    ) -> None:
        self._store, self._submissions, self._workspace = store, submissions, workspace
        self._clock, self._wait_seconds, self._automatic = clock, wait_seconds, automatic
        self._tasks: set[asyncio.Task[None]] = set()
        store.subscribe(self._observe)

    async def find(self, source: JobView) -> BenchmarkView | None:
        """The benchmark of the model that `source` made, if there is one."""
        job = self._store.cached_job(benchmark_name(source))
        return None if job is None else BenchmarkView(job, await asyncio.to_thread(self._scores, job))

    async def run(self, source: JobView) -> BenchmarkView:
        """The scores; where there are none yet, started if need be and waited for a little.

        Raises BenchmarkRunningError when they are not there in time, BenchmarkFailedError.
        """
        found = await self.find(source)
        if found is None:
            await self._start(source)
        deadline = asyncio.get_running_loop().time() + self._wait_seconds
        while found is None or not found.job.is_finished:
            if asyncio.get_running_loop().time() >= deadline:
                raise BenchmarkRunningError("Benchmark is still running")
            await asyncio.sleep(_POLL_SECONDS)
            found = await self.find(source)
        if found.scores is None:
            failure = found.job.status.failure
            why = failure.message if failure else "its report is gone"
            raise BenchmarkFailedError(
                f"Benchmark failed: {why}. Delete training job {found.job.name!r} to run it again"
            )
        return found

    async def stop(self) -> None:
        """Leave what was about to be started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _observe(self, name: str) -> None:
        """Start the benchmark of a job that has just succeeded."""
        job = self._store.cached_job(name)
        if job is None or job.dialect not in self._automatic or not can_be_benchmarked(job):
            return
        ended = job.completion_time
        is_new = ended is not None and abs(self._clock() - ended) < _LATELY
        if is_new and self._store.cached_job(benchmark_name(job)) is None:
            task = asyncio.create_task(self._start_quietly(job), name=f"benchmark-{job.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _start_quietly(self, source: JobView) -> None:
        try:
            await self._start(source)
        except FettleError as error:
            _logger.warning("benchmark not started", extra={"job": source.name, "error": str(error)})

    async def _start(self, source: JobView) -> None:
        try:
            await self._store.read_job(benchmark_name(source))
        except JobNotFoundError:
            try:
                await self._submissions.submit(benchmark_request(source))
            except AlreadyExistsError:
                return

    def _scores(self, job: JobView) -> Mapping[str, float | None] | None:
        if job.phase is not Phase.SUCCEEDED:
            return None
        path = f"{job_directory(job.name, job.uid)}/{REPORT_FILE}"
        try:
            report = parse_json(self._workspace.read_file(path, _MAX_REPORT_BYTES))
        except (FileMissingError, BodyError):
            return None
        scores = report.get("scores") if isinstance(report, dict) else None
        return {name: _value(scores.get(name)) for name in SCORES} if isinstance(scores, dict) else None


def benchmark_name(source: JobView) -> str:
    """Name of the benchmark of the model that a job made; another job of the same name has another one."""
    return slug(f"benchmark-{uid8(source.uid)}-{source.name}")


def can_be_benchmarked(source: JobView) -> bool:
    """Whether the job made something that answers, and there is data to ask it about."""
    output = source.status.output
    is_model = output is not None and output.kind in ("adapter", "model")
    is_trained = source.spec.method not in (Method.MERGE, Method.BENCHMARK)
    return source.phase is Phase.SUCCEEDED and is_model and is_trained and source.spec.dataset is not None


def benchmark_request(source: JobView) -> JobRequest:
    """The base model, the data and the seed of the training; one process."""
    spec, name = source.spec.manifest(), benchmark_name(source)
    output = source.status.output
    is_adapter = output is not None and output.kind == "adapter"
    adapter = source.status.adapter or source.spec.output.adapter_name or source.name
    start = {"adapter": adapter} if is_adapter else {"trainingJob": source.name, "checkpoint": "latest"}
    settings = spec.get("hyperparameters", {})
    kept = {key: settings[key] for key in ("seed", "maxLength", "attention") if settings.get(key) is not None}
    resources = {**spec["resources"], "nodes": 1, "gpusPerNode": min(1, spec["resources"]["gpusPerNode"])}
    copied = {key: spec[key] for key in ("baseModel", "dataset", "runtime", "credentials") if spec.get(key)}
    return JobRequest(
        name=name,
        dialect=DIALECT,
        original_id=name,
        base_model=None,
        dataset=None,
        spec={
            **copied,
            "method": "benchmark",
            "hyperparameters": {**kept, "maxSteps": QUESTIONS},
            "startFrom": start,
            "resources": resources,
            "scheduling": {**spec.get("scheduling", {}), "priority": "low"},
            "limits": {"maxRetries": 1},
        },
        request={},
        description=f"Scores of the model that training job {source.name} made.",
    )


def _value(score: Any) -> float | None:
    value = score.get("value") if isinstance(score, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
