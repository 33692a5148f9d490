"""The training configuration as AINode's clients send it: types, defaults and ranges of the document, and its words."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from fettle_api.dialects.bodies import RequestBody, no_boolean, no_parent, printable

METHODS = ("lora", "qlora", "full")
MASK = "***"
"""What an answer shows instead of a secret."""


class ConfigError(ValueError):
    """What is wrong with a configuration, all of it."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__(f"Invalid training config: {'; '.join(findings)}")


class RequestError(ValueError):
    """What is wrong with another body."""


def _method(value: str) -> str:
    if value not in METHODS:
        raise ValueError(f"must be one of {', '.join(METHODS)}, got {value[:40]!r}")
    return value


Words = Annotated[str, AfterValidator(printable), Field(max_length=512)]
LongWords = Annotated[str, AfterValidator(printable), Field(max_length=4096)]
PathText = Annotated[str, AfterValidator(printable), AfterValidator(no_parent), Field(max_length=512)]
Url = Annotated[str, AfterValidator(printable), Field(max_length=2048)]
Count = Annotated[int, BeforeValidator(no_boolean), Field(ge=1, le=100_000_000)]
Number = Annotated[float, BeforeValidator(no_boolean), Field(allow_inf_nan=False)]


class TrainingConfig(RequestBody):
    """Body of `POST …/jobs` and `config` of every job; `null` is the default, unknown fields are ignored."""

    base_model: PathText = ""
    dataset_path: PathText = ""
    output_dir: PathText | None = None
    method: Annotated[str, AfterValidator(_method)] = "lora"
    num_epochs: Annotated[Number, Field(ge=1, le=1000)] = 3.0
    batch_size: Count = 4
    learning_rate: Annotated[Number, Field(gt=0)] = 2e-4
    lora_rank: Count = 16
    lora_alpha: Annotated[Number, Field(ge=1)] = 32.0
    max_seq_length: Count = 2048
    gradient_accumulation_steps: Count = 1
    warmup_steps: Annotated[int, BeforeValidator(no_boolean), Field(ge=0)] = 0
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    eval_split: Annotated[Number, Field(ge=0, le=0.5)] = 0.1
    eval_steps: Annotated[int, BeforeValidator(no_boolean), Field(ge=0)] = 0
    use_gradient_checkpointing: bool = False
    distributed: bool = False
    num_nodes: Count = 1
    dataset_id: PathText | None = None
    run_name: Words | None = None
    description: LongWords | None = None
    template_id: Words | None = None
    hf_token: Annotated[str, Field(max_length=4096)] | None = Field(default=None, repr=False)
    wandb_project: Annotated[Words, Field(max_length=253)] | None = None

    def echo(self, only_given: bool = False) -> dict[str, Any]:
        """The fields (those that came with the request), secrets replaced, whole numbers without a point."""
        fields = self.model_dump(exclude_unset=only_given)
        if fields.get("hf_token") is not None:
            fields["hf_token"] = MASK
        return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and value >= 1 else value


def parse_config(
    body: Mapping[str, Any], *, needs_dataset: bool = True, is_known_template: bool = False
) -> TrainingConfig:
    """The configuration. Raises ConfigError with all findings, in the order of the fields."""
    blank = _blank(body, needs_dataset and not body.get("dataset_id"))
    try:
        config = TrainingConfig.model_validate(dict(body))
    except ValidationError as error:
        raise ConfigError(blank + _sentences(error)) from None
    if config.template_id and not is_known_template:
        blank.append(f"template_id: unknown template {config.template_id!r}")
    if blank:
        raise ConfigError(blank)
    return config


def parse_partial(params: Mapping[str, Any]) -> TrainingConfig:
    """A configuration without what is required of a whole one. Raises ConfigError."""
    try:
        return TrainingConfig.model_validate(dict(params))
    except ValidationError as error:
        raise ConfigError(_sentences(error)) from None


class TemplateRequest(RequestBody):
    """Body of `POST …/templates`."""

    name: Words = ""
    description: LongWords = ""
    method: Annotated[str, AfterValidator(_method)] = "lora"
    default_params: dict[str, Any] = {}
    estimated_time: Words = "varies"


class ResumeRequest(RequestBody):
    """Body of `POST …/resume`; may be left out."""

    checkpoint: Words | None = None


class MergeRequest(RequestBody):
    """Body of `POST …/merge`; may be left out."""

    output_dir: PathText | None = None


class EstimateRequest(RequestBody):
    """What `POST …/estimate` has beside a configuration."""

    sample_count: Annotated[int, BeforeValidator(no_boolean), Field(ge=0, le=10**12)] | None = None


class DatasetRequest(RequestBody):
    """Body of `POST /api/datasets`."""

    source: Words = ""
    repo_id: PathText = ""
    path: Url = ""
    url: Url = ""
    config: Annotated[Words, Field(max_length=253)] | None = None
    split: Annotated[Words, Field(max_length=253)] | None = None
    name: Annotated[Words, Field(max_length=253)] = ""
    description: LongWords = ""


Parsed = TypeVar("Parsed", bound=RequestBody)


def parse_request(model: type[Parsed], body: Mapping[str, Any]) -> Parsed:
    """Raises RequestError with all findings."""
    try:
        return model.model_validate(dict(body))
    except ValidationError as error:
        raise RequestError("; ".join(_sentences(error))) from None


def _sentences(error: ValidationError) -> list[str]:
    return [_sentence(finding) for finding in error.errors(include_url=False)]


def _blank(body: Mapping[str, Any], needs_dataset: bool) -> list[str]:
    required = ["base_model", "dataset_path"] if needs_dataset else ["base_model"]
    values = {name: body.get(name) for name in required}
    return [
        f"{name} is required"
        for name, value in values.items()
        if value is None or (isinstance(value, str) and not value.strip())
    ]


def _sentence(finding: Mapping[str, Any]) -> str:
    """One finding in AINode's words: `num_epochs must be >= 1`."""
    name, kind, context = finding["loc"][0], finding["type"], finding.get("ctx") or {}
    if kind == "value_error":
        return f"{name} {context['error']}"
    for key, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if key in context:
            bound = context[key]
            return f"{name} must be {sign} {int(bound) if math.floor(bound) == bound else bound}"
    if kind == "string_too_long":
        return f"{name} must have at most {context['max_length']} characters"
    wanted = {"int": "an integer", "float": "a number", "bool": "a boolean", "string": "a string", "finite": "a number"}
    wanted["dict"] = "an object"
    return f"{name} must be {wanted.get(kind.split('_')[0], 'of another type')}"
