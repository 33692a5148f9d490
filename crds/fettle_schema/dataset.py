"""`spec.dataset` of a TrainingJob: where examples come from and how they are read."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from fettle_schema.base import HubId, Model, Revision, ShortText, WorkspacePath


class WorkspaceSource(Model):
    """A dataset file or directory inside the workspace."""

    path: WorkspacePath
    """For example `datasets/kubectl` or `uploads/train.jsonl`."""
    version: Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Version below `path`; the newest if absent."""


class HubSource(Model):
    """A dataset on the Hugging Face hub."""

    id: HubId
    """For example `trl-lib/Capybara`."""
    config: ShortText | None = None
    """Name of the dataset's configuration, where it has several."""
    split: ShortText = "train"
    """Which split to train on."""
    revision: Revision | None = None
    """Branch, tag or commit."""


class InlineSource(Model):
    """A few examples in the manifest itself, to try a job without a file."""

    examples: Annotated[list[Annotated[str, Field(min_length=2, max_length=8192)]], Field(min_length=1, max_length=100)]
    """At most 100 examples, each one row as JSON text of at most 8 KiB, or a plain text."""


class DatasetSource(Model):
    """Where examples come from. Set exactly one field."""

    workspace: WorkspaceSource | None = None
    """A file or directory inside the workspace."""
    hugging_face: HubSource | None = None
    """A dataset on the Hugging Face hub."""
    inline: InlineSource | None = None
    """Examples written in the manifest."""


class DatasetFormat(StrEnum):
    """What a row holds. `auto` detects it from the columns."""

    AUTO = "auto"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt-completion"
    PREFERENCE = "preference"
    UNPAIRED_PREFERENCE = "unpaired-preference"
    TEXT = "text"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"


TemplateText = Annotated[str, Field(max_length=2048)]


class CustomTemplate(Model):
    """Pieces of a chat template, in either spelling: prefixes and suffixes, or whole templates."""

    system_prefix: TemplateText | None = None
    """Before the system message."""
    system_suffix: TemplateText | None = None
    """After the system message."""
    user_prefix: TemplateText | None = None
    """Before a user message."""
    user_suffix: TemplateText | None = None
    """After a user message."""
    assistant_prefix: TemplateText | None = None
    """Before an assistant message."""
    assistant_suffix: TemplateText | None = None
    """After an assistant message."""
    prompt_template: TemplateText | None = None
    """The whole prompt, with `{system}` and `{prompt}`."""
    chosen_template: TemplateText | None = None
    """The chosen answer, with `{chosen}`."""
    rejected_template: TemplateText | None = None
    """The rejected answer, with `{rejected}`."""


class TemplateSpec(Model):
    """How messages become text."""

    name: Literal["tokenizer", "chatml", "llama3", "mistral", "qwen3", "custom"] = "tokenizer"
    """`tokenizer` is the chat template that the model brings."""
    thinking: bool | None = None
    """Qwen3 only: whether answers may think first."""
    custom: CustomTemplate | None = None
    """The pieces, when `name` is `custom`."""


class EvaluationSpec(Model):
    """Examples that are kept from training and measured. Set `fraction` or `source`, or neither."""

    fraction: Annotated[float, Field(ge=0, le=0.5)] | None = None
    """Share of the dataset that is held out; the split is stable under `hyperparameters.seed`."""
    source: DatasetSource | None = None
    """A dataset of its own."""


class DatasetSpec(Model):
    """What is trained on."""

    source: DatasetSource
    """Where the examples come from."""
    format: DatasetFormat = DatasetFormat.AUTO
    """What a row holds."""
    columns: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=128)]],
        Field(max_length=32),
    ] = {}
    """Dataset column → the name that the format expects."""
    template: Annotated[TemplateSpec, Field(default_factory=TemplateSpec)]
    """How messages become text."""
    evaluation: EvaluationSpec | None = None
    """What is held out."""
    max_examples: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Use at most this many examples, after shuffling if `shuffle` is set."""
    shuffle: bool = True
    """Shuffle the examples once by `hyperparameters.seed` before training."""
