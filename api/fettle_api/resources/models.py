"""Neutral requests and views: what dialects give to the service and get from it. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fettle_api.resources.contents import Contents, read_object
from fettle_schema.run import ProgressEvent
from fettle_schema.status import TrainingJobStatus
from fettle_schema.training_job import Method, TrainingJobSpec
from fettle_schema.vocabulary import Phase


@dataclass(frozen=True)
class Principal:
    """Who calls."""

    name: str


@dataclass(frozen=True)
class JobRequest:
    """A training job that somebody asks for through a dialect."""

    name: str
    """Name of the resource."""
    dialect: str
    """Which dialect."""
    original_id: str
    """The job's id in that dialect."""
    base_model: str | None
    """Alias, directory in the workspace, or hub id; None where `spec` has it already."""
    dataset: str | None
    """Alias, path in the workspace, or hub id; None where `spec` has it already, or there is none."""
    spec: Mapping[str, Any]
    """The rest of `spec`, in camelCase."""
    request: Mapping[str, Any]
    """The request for echoing, secrets replaced by `***`."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variable → value."""
    description: str | None = None
    """Words of the caller."""
    run_name: str | None = None
    """The caller's name for it."""
    template_id: str | None = None
    """Template that filled what the caller left out."""
    request_digest: str | None = None
    """For a request with an Idempotency-Key, whose `name` follows from the key: see `idempotency`."""
    metadata: Mapping[str, str] | None = None
    """Pairs that the caller attached."""


@dataclass(frozen=True)
class OllamaModel:
    """A job's model in Ollama."""

    name: str
    imported_at: datetime


@dataclass(frozen=True, slots=True)
class JobView:
    """A TrainingJob as the dialects see it.

    What lists and counts ask of every job is at hand; `spec`, `status` and `request` are unpacked when they are read.
    """

    name: str
    uid: str
    created_at: datetime
    contents: Contents
    phase: Phase
    """A job that the operator has not seen yet is pending."""
    method: Method
    cancel: bool
    """Somebody asked for its end."""
    priority: str = "normal"
    """Within its queue."""
    start_time: datetime | None = None
    completion_time: datetime | None = None
    gpu_seconds: float = 0.0
    output_kind: str | None = None
    """None while nothing is published."""
    has_webhook: bool = False
    dialect: str | None = None
    original_id: str | None = None
    request_text: str | None = None
    description: str | None = None
    run_name: str | None = None
    request_digest: str | None = None
    metadata: Mapping[str, str] | None = None
    ollama: OllamaModel | None = None

    @property
    def spec(self) -> TrainingJobSpec:
        """What was asked for."""
        return self.contents.spec

    @property
    def status(self) -> TrainingJobStatus:
        """What is known."""
        return self.contents.status

    @property
    def request(self) -> Mapping[str, Any] | None:
        """The request as it came through its dialect; None where there is none, or none that can be read."""
        return read_object(self.request_text)

    @property
    def visible_phase(self) -> Phase:
        """The phase as callers see it: a job that is being stopped counts as cancelled at once."""
        return Phase.CANCELLED if self.is_stopping else self.phase

    @property
    def is_finished(self) -> bool:
        """It has ended."""
        return self.phase.is_finished

    @property
    def is_stopping(self) -> bool:
        """It was cancelled, and its pods may still be there."""
        return self.cancel and not self.is_finished


@dataclass(frozen=True)
class CheckpointView:
    """A complete checkpoint of a job."""

    name: str
    """`checkpoint-<step>`."""
    step: int
    path: str
    """Directory inside the workspace."""


@dataclass(frozen=True)
class JobCounts:
    """How many jobs there are, and what they cost."""

    total: int
    by_phase: Mapping[Phase, int]
    """A job that is being stopped counts as cancelled."""
    succeeded_lately: int
    """Within the last 24 hours."""
    gpu_seconds: float
    """Of all jobs that are still there."""
    running: JobView | None
    """The one that has been running for longest."""


@dataclass(frozen=True)
class LogLine:
    """One line of a job's log; `time` is None where the line has none."""

    time: datetime | None
    text: str


@dataclass(frozen=True)
class JobLog:
    """The end of a job's log and of its series of reports."""

    job: JobView
    lines: tuple[LogLine, ...] = ()
    line_count: int = 0
    events: tuple[ProgressEvent, ...] = ()
    event_count: int = 0


@dataclass(frozen=True)
class FileEntry:
    """One regular file."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class JobOutput:
    """What a job published so far."""

    job: JobView
    files: tuple[FileEntry, ...] = ()
