"""Times and counts of a job: how long it ran, what that cost, whether it moves. Pure."""

from datetime import datetime, timedelta

from fettle_operator import pods as pod_facts
from fettle_operator.draft import Draft
from fettle_operator.plan import Manifest
from fettle_schema.names import PREFLIGHT_ATTEMPT
from fettle_schema.run import RunResult
from fettle_schema.status import GpuSeconds
from fettle_schema.vocabulary import ConditionType

MAX_COUNTED_PODS = 64


def running_since(draft: Draft) -> datetime | None:
    """When the pods began to run, if they do now."""
    running = draft.find(ConditionType.RUNNING)
    return running.last_transition_time if running is not None and running.status == "True" else None


def active_seconds(draft: Draft) -> float:
    """Time in which pods ran, up to now."""
    since = running_since(draft)
    current = (draft.now - since).total_seconds() if since is not None else 0.0
    return (draft.status.active_seconds or 0.0) + max(0.0, current)


def close_interval(draft: Draft, pods: list[Manifest], *, is_wasted: bool, reason: str, message: str) -> None:
    """The pods no longer run: Running=False, and the time is booked. Booked once: Running was true, or was missed."""
    interval = _interval(draft, pods) if draft.attempt > PREFLIGHT_ATTEMPT else None
    if interval is not None:
        start, end = interval
        seconds = max(0.0, (end - start).total_seconds())
        spec = draft.spec.resources
        gpus = spec.gpus_per_node * spec.nodes
        costs = draft.status.gpu_seconds or GpuSeconds()
        wasted = min(seconds, max(0.0, (end - _kept_until(draft, start)).total_seconds())) if is_wasted else 0.0
        draft.status.active_seconds = round((draft.status.active_seconds or 0.0) + seconds, 3)
        draft.status.gpu_seconds = GpuSeconds(
            total=round(costs.total + gpus * seconds, 3), wasted=round(costs.wasted + gpus * wasted, 3)
        )
        draft.status.start_time = draft.status.start_time or start
    draft.set(ConditionType.RUNNING, "False", reason, message)


def book_step(draft: Draft, result: RunResult | None) -> None:
    """A run was taken away: count it as without progress unless a step was made since the last time."""
    attempts = draft.attempts
    step = _step(draft, result)
    attempts.without_progress = 0 if step > attempts.last_step else attempts.without_progress + 1
    attempts.last_step = max(step, attempts.last_step)


def count_replaced_pods(draft: Draft) -> None:
    """Count pods of the newest attempt that the cluster took away and that were not counted yet."""
    if draft.spec.resources.nodes > 1:
        return  # the Job controller replaces no pod of several: the attempt ends, and is counted then
    counted = draft.attempts.counted_pods
    for pod in draft.observation.pods_of(draft.attempt):
        uid = pod["metadata"]["uid"]
        gone = pod_facts.is_terminal(pod) or pod["metadata"].get("deletionTimestamp")
        if gone and pod_facts.is_disrupted(pod) and uid not in counted:
            draft.attempts.counted_pods = counted = [*counted, uid][-MAX_COUNTED_PODS:]
            draft.attempts.preemptions += 1
            book_step(draft, pod_facts.run_result(pod))


def _interval(draft: Draft, pods: list[Manifest]) -> tuple[datetime, datetime] | None:
    since = running_since(draft)
    ends = [end for pod in pods if (end := pod_facts.finished_at(pod)) is not None]
    if since is not None:
        # Kubernetes keeps whole seconds: an end may lie just before our own, finer time.
        later = [end for end in ends if end >= since - timedelta(seconds=1)]
        return since, max(max(later, default=draft.now), since)
    running = draft.find(ConditionType.RUNNING)
    starts = [
        start
        for pod in pods
        if (start := pod_facts.started_at(pod)) is not None
        and pod_facts.finished_at(pod) is not None
        and (running is None or start >= running.last_transition_time - timedelta(seconds=1))
    ]
    return (min(starts), max(ends)) if starts else None


def _kept_until(draft: Draft, start: datetime) -> datetime:
    times = [c.created_at for c in draft.observation.status.checkpoints or [] if c.created_at is not None]
    return max([start, *times])


def _step(draft: Draft, result: RunResult | None) -> int:
    status = draft.observation.status
    reported = status.progress.step if status.progress is not None else None
    saved = [checkpoint.step for checkpoint in status.checkpoints or []]
    return max([result.step if result is not None else 0, reported or 0, *saved])
