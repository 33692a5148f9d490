"""`spec` and `status` of a job, packed as texts and made into models when somebody asks. Pure.

Ten thousand jobs as models take hundreds of megabytes, and each full collection of garbage walks through all of them.
As texts they take a tenth of that and are not walked through. Those that were asked for last stay models.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from pydantic_core import to_json

from fettle_schema.status import TrainingJobStatus
from fettle_schema.training_job import TrainingJobSpec

_KEPT = 512
"""Models of each kind: the jobs that run, and what was listed last."""


class Contents(Protocol):
    """The two halves of a job. The models are shared: whoever wants another one makes a copy."""

    @property
    def spec(self) -> TrainingJobSpec:
        """What was asked for."""
        ...

    @property
    def status(self) -> TrainingJobStatus:
        """What is known."""
        ...


@dataclass(frozen=True, slots=True)
class PackedContents:
    """As the resource has it."""

    _spec: str
    _status: str

    @property
    def spec(self) -> TrainingJobSpec:
        """What was asked for."""
        return _spec_of(self._spec)

    @property
    def status(self) -> TrainingJobStatus:
        """What is known."""
        return _status_of(self._status)


@dataclass(frozen=True, slots=True)
class OpenContents:
    """With a status of which the resource does not know yet."""

    spec: TrainingJobSpec
    status: TrainingJobStatus


def pack(spec: Mapping[str, Any], status: Mapping[str, Any]) -> PackedContents:
    """Contents that have been checked: reading raises pydantic's ValidationError for them, but does not later."""
    packed = PackedContents(_text(spec), _text(status))
    _ = packed.spec, packed.status
    return packed


@lru_cache(_KEPT)
def read_object(text: str | None) -> Mapping[str, Any] | None:
    """The JSON object in an annotation; None for whatever is none."""
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: Mapping[str, Any]) -> str:
    return to_json(value, inf_nan_mode="constants").decode()


@lru_cache(_KEPT)
def _spec_of(text: str) -> TrainingJobSpec:
    return TrainingJobSpec.model_validate_json(text)


@lru_cache(_KEPT)
def _status_of(text: str) -> TrainingJobStatus:
    return TrainingJobStatus.model_validate_json(text)
