"""What a change of a job's status adds to the metrics. Reads two statuses; decides nothing."""

from datetime import datetime

from fettle_operator.conditions import find, is_true
from fettle_operator.metrics import Metrics
from fettle_operator.plan import Manifest
from fettle_schema.reasons import Reason
from fettle_schema.status import TrainingJobStatus
from fettle_schema.vocabulary import ConditionType

NEW = "New"
"""Phase before the first."""
KUEUE = "kueue"
"""Stands for all of Kueue's queues: their names are not ours to bound."""


def record_change(
    metrics: Metrics, job: Manifest, before: TrainingJobStatus, after: TrainingJobStatus, restart_cause: str | None
) -> None:
    """Count what one written status tells."""
    spec = job["spec"]
    if after.phase is not None and after.phase != before.phase:
        metrics.transitions.labels(before.phase or NEW, after.phase).inc()
        if after.phase.is_finished:
            metrics.jobs_ended.labels(after.phase, after.reason or "").inc()
            metrics.run_seconds.labels(spec.get("method", "sft"), after.phase).observe(after.active_seconds or 0.0)
    cause = restart_cause or (Reason.PREEMPTED if _preemptions(after) > _preemptions(before) else None)
    if cause is not None:
        metrics.restarts.labels(cause).inc()
    _record_gpu_seconds(metrics, before, after)
    wait = queue_wait_seconds(job, before, after)
    if wait is not None:
        metrics.queue_wait_seconds.labels(_queue(spec)).observe(wait)


def queue_wait_seconds(job: Manifest, before: TrainingJobStatus, after: TrainingJobStatus) -> float | None:
    """How long a job waited that has just been admitted; time in suspension does not count."""
    admitted = find(after.conditions, ConditionType.ADMITTED)
    if admitted is None or admitted.status != "True" or is_true(before.conditions, ConditionType.ADMITTED):
        return None
    since = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    resumed = find(after.conditions, ConditionType.SUSPENDED)
    if resumed is not None:
        since = max(since, resumed.last_transition_time)
    return max(0.0, (admitted.last_transition_time - since).total_seconds())


def _record_gpu_seconds(metrics: Metrics, before: TrainingJobStatus, after: TrainingJobStatus) -> None:
    now, earlier = after.gpu_seconds, before.gpu_seconds
    if now is None:
        return
    total = now.total - (earlier.total if earlier else 0.0)
    wasted = now.wasted - (earlier.wasted if earlier else 0.0)
    metrics.gpu_seconds.labels("kept").inc(max(0.0, total - wasted))
    metrics.gpu_seconds.labels("wasted").inc(max(0.0, wasted))


def _preemptions(status: TrainingJobStatus) -> int:
    return status.attempts.preemptions if status.attempts else 0


def _queue(spec: Manifest) -> str:
    scheduling = spec.get("scheduling") or {}
    return KUEUE if scheduling.get("kueueQueue") else scheduling.get("queue") or "default"
