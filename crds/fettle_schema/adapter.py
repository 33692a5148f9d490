"""Spec and status of an Adapter: a published PEFT result, with what it was made from and where it is loaded."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from fettle_schema.base import HubId, Model, ResourceName, Revision, ShortText, WorkspacePath
from fettle_schema.status import Condition
from fettle_schema.vocabulary import AdapterPhase

Digest = Annotated[str, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]


class AdapterBaseModel(Model):
    """The model that the adapter belongs to."""

    id: Annotated[str, Field(min_length=1, max_length=512)]
    """Hub id, or path inside the workspace."""
    revision: Revision | None = None
    """Commit of the base model that it was trained on."""


class AdapterWorkspaceSource(Model):
    """Files that lie in the workspace already."""

    path: WorkspacePath
    """Directory inside the workspace."""


class AdapterHubSource(Model):
    """Files on the Hugging Face hub."""

    id: HubId
    """Repository."""
    revision: Revision | None = None
    """Branch, tag or commit."""


class AdapterSource(Model):
    """Where the files came from. Set exactly one of `trainingJob`, `workspace` and `huggingFace`."""

    training_job: ResourceName | None = None
    """The TrainingJob that made it."""
    training_job_uid: ShortText | None = None
    """Its uid: a later job of the same name is another source."""
    workspace: AdapterWorkspaceSource | None = None
    """A directory in the workspace."""
    hugging_face: AdapterHubSource | None = None
    """A repository on the hub."""


class ServingSelector(Model):
    """Which pods are engines."""

    match_labels: Annotated[
        dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]],
        Field(max_length=16),
    ] = {}
    """Labels that the engine's pods have."""


class ServingSpec(Model):
    """Where the adapter is to be loaded."""

    load: bool = False
    """Load it into every engine that is selected."""
    selector: ServingSelector | None = None
    """Which pods of the namespace are engines; those with the label `fettle.dev/engine: "true"` if absent."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """Port of the engine's HTTP API."""
    api_key_name: Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Which of the namespace's keys that are mounted into the operator opens the engine."""


class AdapterSpec(Model):
    """One adapter. `baseModel` is immutable; `digest` changes only together with `source`."""

    base_model: AdapterBaseModel
    """The model that the adapter belongs to."""
    source: AdapterSource
    """Where the files came from."""
    digest: Digest | None = None
    """Digest of the files."""
    served_name: (
        Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] | None
    ) = None
    """Model name under which engines serve it; the Adapter's name if absent."""
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    """What happens to the files when the Adapter is deleted."""
    serving: Annotated[ServingSpec, Field(default_factory=ServingSpec)]
    """Where the adapter is to be loaded."""


class AdapterVersion(Model):
    """A digest that this Adapter had."""

    digest: ShortText
    """Digest of the files."""
    training_job: ShortText | None = None
    """The TrainingJob that made it."""
    time: datetime | None = None
    """When it became this Adapter's."""


class Provenance(Model):
    """What the adapter was made from."""

    training_job: ShortText | None = None
    """Name of the TrainingJob."""
    uid: ShortText | None = None
    """Its uid."""
    base_model_revision: ShortText | None = None
    """Commit of the base model, or digest of its files."""
    dataset_digest: ShortText | None = None
    """Digest of the examples."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """Trainer image."""
    config_digest: ShortText | None = None
    """Digest of the RunConfig."""
    final_loss: float | None = None
    """Last training loss."""
    final_eval_loss: float | None = None
    """Last evaluation loss."""
    benchmark: dict[str, Any] | None = None
    """Scores of the newest benchmark of this digest, with those of the base model beside them."""


class ServingInstance(Model):
    """One engine pod."""

    pod: ShortText
    """Name of the pod."""
    pod_uid: ShortText
    """Its uid."""
    url: ShortText | None = None
    """Where it answers while it is ready."""
    path: Annotated[str, Field(max_length=512)] | None = None
    """Path that the engine has loaded."""
    loaded_at: datetime | None = None
    """When it was loaded."""
    error: Annotated[str, Field(max_length=4096)] | None = None
    """What the engine answered, word for word."""


class AdapterStatus(Model):
    """What is known about an Adapter."""

    observed_generation: int | None = None
    """`metadata.generation` that the conditions were computed from."""
    phase: AdapterPhase | None = None
    """Summary for people, derived from the conditions."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = []
    """ArtifactReady, Compatible, Loaded."""
    reason: ShortText | None = None
    """Reason of the condition that decides the phase."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """Its message."""
    path: Annotated[str, Field(max_length=512)] | None = None
    """Directory inside the workspace."""
    digest: ShortText | None = None
    """Digest of the files that `path` holds."""
    source: AdapterSource | None = None
    """What `spec.source` said when they were examined."""
    verified_at: datetime | None = None
    """When the files were last read and compared with the digest."""
    size_bytes: int | None = None
    """Size of the files."""
    rank: int | None = None
    """Rank of the adapter."""
    target_modules: Annotated[list[ShortText], Field(max_length=64)] | None = None
    """Modules that it changes."""
    history: Annotated[list[AdapterVersion], Field(max_length=10)] | None = None
    """The newest digests, newest first."""
    provenance: Provenance | None = None
    """What the adapter was made from."""
    ready_pods: ShortText | None = None
    """Engines that have this version, of those that are ready, for example `2/2`."""
    instances: Annotated[list[ServingInstance], Field(max_length=256)] | None = None
    """Engine pods."""
