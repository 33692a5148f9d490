"""How reports of a run become `status.progress` and `status.checkpoints`. Pure; used with and without a cluster."""

from fettle_schema.run import ProgressEvent
from fettle_schema.status import Checkpoint, Progress

MAX_CHECKPOINTS = 10

_CARRIED = (
    "stage",
    "step",
    "total_steps",
    "epoch",
    "loss",
    "eval_loss",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "eta_seconds",
    "peak_memory_bytes",
)


def merge_progress(
    progress: Progress | None, checkpoints: list[Checkpoint], event: ProgressEvent
) -> tuple[Progress, list[Checkpoint]]:
    """The state after one more report; what the report leaves out keeps its last value.

    A report of an older attempt than the last one changes nothing. Checkpoints are the newest ten, oldest first.
    """
    before = progress or Progress()
    if before.attempt is not None and event.attempt < before.attempt:
        return before, checkpoints
    values = {name: getattr(event, name) for name in _CARRIED if getattr(event, name) is not None}
    after = before.model_copy(update={**values, "attempt": event.attempt, "last_report_time": event.time})
    if after.step is not None and after.total_steps:
        share = 100.0 * after.step / after.total_steps
        after.percent = round(min(share, 100.0), 2)
        after.summary = f"{after.step}/{after.total_steps}"
    if after.loss is not None:
        after.loss = round(after.loss, 4)
    if after.eta_seconds is not None:
        after.eta = duration(after.eta_seconds)
    if event.checkpoint is None:
        return after, checkpoints
    others = [checkpoint for checkpoint in checkpoints if checkpoint.path != event.checkpoint.path]
    return after, [*others, event.checkpoint][-MAX_CHECKPOINTS:]


def duration(seconds: float) -> str:
    """A time span as kubectl writes it: `45s`, `3m20s`, `5h12m`, `3d4h`."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"
