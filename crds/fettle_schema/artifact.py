"""Between the operator and the Job that examines an Adapter's files: a request goes in, a report comes out."""

from typing import Annotated, Literal

from pydantic import Field

from fettle_schema.adapter import AdapterBaseModel, AdapterHubSource, Digest
from fettle_schema.base import Model, ResourceName, ShortText, WorkspacePath
from fettle_schema.reasons import Reason

CompatibilityReason = Literal[Reason.FITS, Reason.SAME_NAME, Reason.BASE_MODEL_MISMATCH, Reason.NOT_SERVABLE]
ProblemReason = Literal[Reason.DIGEST_MISMATCH, Reason.FILES_MISSING, Reason.FILES_INVALID, Reason.HUB_UNAVAILABLE]


class ArtifactRequest(Model):
    """Which files, and what they should be. One of `path` and `huggingFace` is set."""

    name: ResourceName
    """The Adapter: its files have their place below `adapters/<name>/`."""
    uid: ShortText
    """Its uid."""
    base_model: AdapterBaseModel
    """The model that the adapter should fit."""
    path: WorkspacePath | None = None
    """Directory inside the workspace; files elsewhere than at their place are copied there."""
    hugging_face: AdapterHubSource | None = None
    """Repository that the files are fetched from."""
    digest: Digest | None = None
    """What the files must have; whatever they have if absent."""


class ArtifactProblem(Model):
    """Why the files cannot be used."""

    reason: ProblemReason
    """Reason of `ArtifactReady=False`."""
    message: Annotated[str, Field(max_length=1500)]
    """A sentence, with what to do."""


class Compatibility(Model):
    """Whether the adapter fits its base model and can be served beside others."""

    reason: CompatibilityReason
    """Reason of the condition Compatible."""
    message: Annotated[str, Field(max_length=1000)] = ""
    """A sentence, where there is something to say."""


class ArtifactReport(Model):
    """The Job's termination message."""

    problem: ArtifactProblem | None = None
    """Set when the files cannot be used; nothing else is known then."""
    path: WorkspacePath | None = None
    """Where the files lie, and stay."""
    digest: Digest | None = None
    """What they have."""
    size_bytes: int | None = None
    """How large they are together."""
    rank: int | None = None
    """The largest rank of a matrix."""
    target_modules: Annotated[list[ShortText], Field(max_length=64)] | None = None
    """Layers that are changed, by the last part of their names."""
    compatibility: Compatibility | None = None
    """Whether it fits."""
    source: ShortText | None = None
    """Where it was fetched from, with the commit."""
