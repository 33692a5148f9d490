"""Requests as OpenAI's clients send them: types and ranges, and OpenAI's words for what is wrong with them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
)

from fettle_api.dialects.bodies import RequestBody

AUTO = "auto"
MAX_METADATA = 16

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "string": "a string",
    "list": "an array",
    "model": "an object",
    "dict": "an object",
}
_BELOW, _ABOVE = ("greater_than", "greater_than_equal"), ("less_than", "less_than_equal")


class RequestError(ValueError):
    """What is wrong with a request, with the field's place and a code for programs."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.code = param, code


def _printable(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    return text


def _auto(value: object) -> object:
    return None if value == AUTO else value


def _or_auto(kind: str, **bounds: float) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"const": AUTO}, {"type": kind, **bounds}], "default": AUTO})


Words = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=253)]
ModelId = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=512)]
FileId = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=128)]
Epochs = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=1000)] | None,
    BeforeValidator(_auto),
    _or_auto("integer", minimum=1, maximum=1000),
]
BatchSize = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=4096)] | None,
    BeforeValidator(_auto),
    _or_auto("integer", minimum=1, maximum=4096),
]
Multiplier = Annotated[
    Annotated[float, Field(strict=True, gt=0, le=1000)] | None,
    BeforeValidator(_auto),
    _or_auto("number", exclusiveMinimum=0, maximum=1000),
]
Beta = Annotated[
    Annotated[float, Field(strict=True, gt=0, le=100)] | None,
    BeforeValidator(_auto),
    _or_auto("number", exclusiveMinimum=0, maximum=100),
]


Parsed = TypeVar("Parsed", bound=RequestBody)


class HyperparametersBody(RequestBody):
    """Hyperparameters; None is `auto`."""

    n_epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate_multiplier: Multiplier = None
    beta: Beta = None


class MethodSettings(RequestBody):
    """`method.supervised` or `method.dpo`."""

    hyperparameters: HyperparametersBody = HyperparametersBody()


class MethodBody(RequestBody):
    """`method`."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: MethodSettings = MethodSettings()
    dpo: MethodSettings = MethodSettings()


class WandbBody(RequestBody):
    """`integrations[].wandb`."""

    project: Words
    name: Words | None = None
    entity: Words | None = None
    tags: Annotated[list[Words], Field(max_length=32)] = []


class IntegrationBody(RequestBody):
    """One of `integrations`."""

    type: Literal["wandb"]
    wandb: WandbBody


MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


class JobBody(RequestBody):
    """Body of `POST /fine_tuning/jobs`."""

    model: ModelId
    training_file: FileId
    validation_file: FileId | None = None
    suffix: Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] | None = None
    hyperparameters: HyperparametersBody = HyperparametersBody()
    method: MethodBody = MethodBody(type="supervised")
    integrations: Annotated[list[IntegrationBody], Field(max_length=1)] = []
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA)] | None = None

    @property
    def chosen(self) -> HyperparametersBody:
        """The hyperparameters: those of the method, else those of the older place."""
        method = self.method.dpo if self.method.type == "dpo" else self.method.supervised
        given = method.hyperparameters.model_dump(exclude_none=True)
        return self.hyperparameters.model_copy(update=given)


class ChatBody(RequestBody):
    """Body of `POST /chat/completions`; what is not named here goes to the engine as well."""

    model: ModelId
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream: bool = False


def parse_job(body: Mapping[str, Any]) -> JobBody:
    """Raises RequestError with the first finding, as that API does."""
    parsed = _parse(JobBody, body)
    if parsed.method.type == "reinforcement":
        message = "Method 'reinforcement' is not available here. Supported values are: 'supervised', 'dpo'."
        raise RequestError(message, "method.type", "unsupported_method")
    return parsed


def parse_chat(body: Mapping[str, Any]) -> ChatBody:
    """Raises RequestError with the first finding."""
    return _parse(ChatBody, body)


def _parse(model: type[Parsed], body: Mapping[str, Any]) -> Parsed:
    try:
        return model.model_validate(dict(body))
    except ValidationError as error:
        raise _first_of(error) from None


def _first_of(error: ValidationError) -> RequestError:
    findings = error.errors(include_url=False)
    # A missing field comes first: what is wrong with others may follow from it.
    finding = next((one for one in findings if one["type"] == "missing"), findings[0])
    param = _place(finding["loc"])
    message, code = _words(param, finding["type"], finding.get("ctx") or {})
    return RequestError(message, param, code)


def _place(location: tuple[int | str, ...]) -> str:
    """`integrations[0].wandb.project`; keys of free pairs are not repeated."""
    place = ""
    for part in location[:1] if location[:1] == ("metadata",) else location:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return place


def _words(param: str, kind: str, context: Mapping[str, Any]) -> tuple[str, str]:
    if kind == "missing":
        return f"Missing required parameter: '{param}'.", "missing_required_parameter"
    if kind == "literal_error":
        return f"Invalid value for '{param}'. Supported values are: {context['expected']}.", "invalid_value"
    if kind in _BELOW:
        sign = ">" if kind == "greater_than" else ">="
        return f"Invalid '{param}': below minimum value. Expected a value {sign} {_bound(context)}.", "below_min_value"
    if kind in _ABOVE:
        return f"Invalid '{param}': above maximum value. Expected a value <= {_bound(context)}.", "above_max_value"
    if kind.endswith("too_short"):
        return f"Invalid '{param}': it is empty. Expected at least {context['min_length']}.", "below_min_length"
    if kind.endswith("too_long"):
        return f"Invalid '{param}': it is too long. Expected at most {context['max_length']}.", "above_max_length"
    if kind == "value_error":
        return f"Invalid '{param}': {context['error']}.", "invalid_value"
    wanted = _KINDS.get(kind.partition("_")[0], "another type")
    return f"Invalid type for '{param}': expected {wanted}.", "invalid_type"


def _bound(context: Mapping[str, Any]) -> str:
    return next(f"{context[key]:g}" for key in ("ge", "gt", "le", "lt") if key in context)
