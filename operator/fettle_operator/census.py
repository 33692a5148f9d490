"""All jobs as they were seen last, counted when Prometheus asks: jobs in each phase, and how old checkpoints are."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fettle_operator.metrics import Metrics
from fettle_operator.plan import Key, Manifest, key_of
from fettle_schema.vocabulary import ConditionType, Phase


@dataclass(frozen=True, slots=True)
class _Entry:
    phase: str
    has_step: bool
    kept_at: str | None
    """When the newest checkpoint was complete, else when the run began."""


class Census(Collector):
    """Fed by every manifest that is seen."""

    def __init__(self, metrics: Metrics, clock: Callable[[], datetime]) -> None:
        self._metrics, self._clock = metrics, clock
        self._jobs: dict[Key, _Entry] = {}
        metrics.registry.register(self)

    def observe(self, job: Manifest) -> None:
        """Take in one manifest; the first step of a job that was known without one is timed."""
        key = key_of(job)
        before, after = self._jobs.get(key), _entry(job)
        self._jobs[key] = after
        if before is not None and after.has_step and not before.has_step:
            seconds = _first_step_seconds(job)
            if seconds is not None:
                self._metrics.first_step_seconds.labels(job["spec"].get("method", "sft")).observe(seconds)

    def forget(self, key: Key) -> None:
        """The job does not exist any more."""
        self._jobs.pop(key, None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called at each scrape."""
        phases = GaugeMetricFamily("fettle_jobs", "Jobs, by phase", labels=["phase"])
        counts = Counter(entry.phase for entry in self._jobs.values())
        for phase in Phase:
            phases.add_metric([phase], counts[phase])
        yield phases
        age = GaugeMetricFamily(
            "fettle_checkpoint_age_seconds", "Of all running jobs the longest time since a checkpoint was kept"
        )
        kept = [entry.kept_at for entry in self._jobs.values() if entry.phase == Phase.RUNNING and entry.kept_at]
        age.add_metric([], self._seconds_since(min(kept)) if kept else 0.0)
        yield age

    def _seconds_since(self, time: str) -> float:
        return max(0.0, (self._clock() - datetime.fromisoformat(time)).total_seconds())


def _entry(job: Manifest) -> _Entry:
    status = job.get("status") or {}
    checkpoints = status.get("checkpoints") or [{}]
    return _Entry(
        phase=status.get("phase") or Phase.PENDING,
        has_step=((status.get("progress") or {}).get("step") or 0) > 0,
        kept_at=checkpoints[-1].get("createdAt") or _transition(status, ConditionType.RUNNING),
    )


def _first_step_seconds(job: Manifest) -> float | None:
    status = job["status"]
    admitted, reported = _transition(status, ConditionType.ADMITTED), status["progress"].get("lastReportTime")
    if admitted is None or reported is None:
        return None
    return max(0.0, (datetime.fromisoformat(reported) - datetime.fromisoformat(admitted)).total_seconds())


def _transition(status: Manifest, condition_type: ConditionType) -> str | None:
    """When a condition became true."""
    for condition in status.get("conditions") or []:
        if condition["type"] == condition_type and condition["status"] == "True":
            return str(condition["lastTransitionTime"])
    return None
