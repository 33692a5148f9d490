"""The report that transformers sends by itself when KUBEFLOW_TRAINER_SERVER_URL is set → our ProgressEvent. Pure.

Format: `KubeflowCallback` in transformers' integration_utils.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from fettle_api.errors import BodyError
from fettle_schema.run import ProgressEvent
from fettle_schema.vocabulary import Stage


def is_kubeflow_report(body: Mapping[str, Any]) -> bool:
    """Whether a body is in that format."""
    return isinstance(body.get("trainerStatus"), dict)


def event_of_kubeflow(body: Mapping[str, Any], attempt: int, known_steps: int | None = None) -> ProgressEvent:
    """Raises BodyError for a report without a time.

    The last report says 100 % and names no number of steps: `known_steps` is what an earlier one said.
    """
    status = body["trainerStatus"]
    numbers = _numbers(status.get("metrics"))
    percent, eta = status.get("progressPercentage"), status.get("estimatedRemainingSeconds")
    steps = numbers.get("total_steps")
    step = numbers.get("current_step")
    if step is None and percent == 100:
        step = steps if steps is not None else known_steps
    return ProgressEvent(
        time=_time(status.get("lastUpdatedTime")),
        attempt=attempt,
        kind=_kind(numbers, percent),
        stage=Stage.TRAINING,
        step=None if step is None else int(step),
        total_steps=None if steps is None else int(steps),
        epoch=numbers.get("current_epoch", numbers.get("epoch")),
        loss=numbers.get("loss", numbers.get("train_loss")),
        eval_loss=numbers.get("eval_loss"),
        learning_rate=numbers.get("learning_rate"),
        grad_norm=numbers.get("grad_norm"),
        eta_seconds=float(eta) if isinstance(eta, int | float) else None,
    )


def _kind(numbers: Mapping[str, float], percent: object) -> Literal["step", "evaluation", "end"]:
    if percent == 100:
        return "end"
    return "evaluation" if "eval_loss" in numbers and "loss" not in numbers else "step"


def _numbers(metrics: object) -> dict[str, float]:
    """Metrics come as a list of `{name, value}` with texts for values."""
    found: dict[str, float] = {}
    for metric in metrics if isinstance(metrics, list) else []:
        if not isinstance(metric, dict):
            continue
        try:
            value = float(metric.get("value", ""))
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            found[str(metric.get("name"))] = value
    return found


def _time(text: object) -> datetime:
    try:
        value = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise BodyError("trainerStatus.lastUpdatedTime: must be an ISO 8601 time") from error
    return value if value.tzinfo else value.replace(tzinfo=UTC)
