"""Requests as Milady's clients send them: types, defaults and ranges of the document, and its words."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from fettle_api.dialects.bodies import no_boolean, no_parent, printable
from fettle_api.trajectories.model import Trajectory
from fettle_api.trajectories.service import DEFAULT_LIMIT, DEFAULT_MIN_LLM_CALLS

DEFAULT_PAGE = 100
MAX_PAGE = 500
MAX_BUILD = 5000
KNOWN_MODELS = {
    "llama-3.2-1b": "meta-llama/Llama-3.2-1B-Instruct",
    "llama-3.2-3b": "meta-llama/Llama-3.2-3B-Instruct",
    "llama-3.1-8b": "meta-llama/Llama-3.1-8B-Instruct",
}
"""What a short name of a model means where the installation has no alias of that name."""
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,3}(?::[A-Za-z0-9._-]{1,128})?"
"""Names of models in Ollama: `[host/][namespace/]model[:tag]`."""


class RequestError(ValueError):
    """What is wrong with a body."""


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _cut(value: object) -> object:
    """A limit beyond its range means the nearest one inside."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return max(1, min(int(value), MAX_BUILD))
    return no_boolean(value)


Words = Annotated[str, AfterValidator(printable), Field(max_length=512)]
Name = Annotated[Words, AfterValidator(no_parent)]
Count = Annotated[int, BeforeValidator(no_boolean), Field(ge=1, le=10_000_000)]
Cut = Annotated[int, BeforeValidator(_cut)]
OllamaName = Annotated[str, Field(max_length=512, pattern=rf"^{MODEL_NAME}$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _blank_is_absent(cls, value: Any) -> Any:
        return {key: item for key, item in value.items() if not _is_blank(item)} if isinstance(value, dict) else value


class BuildRequest(_Request):
    """Body of `POST …/datasets/build`; may be left out."""

    limit: Cut = DEFAULT_LIMIT
    min_llm_calls_per_trajectory: Cut = DEFAULT_MIN_LLM_CALLS


class JobOptions(_Request):
    """Body of `POST …/jobs`; every field may be left out."""

    dataset_id: Name | None = None
    max_trajectories: Count | None = None
    backend: Literal["mlx", "cuda", "cpu"] | None = None
    model: Name | None = None
    iterations: Count | None = None
    batch_size: Count | None = None
    learning_rate: Annotated[float, BeforeValidator(no_boolean), Field(gt=0, allow_inf_nan=False)] | None = None

    def echo(self) -> dict[str, Any]:
        """The options that came, in the document's spelling."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class ImportRequest(_Request):
    """Body of `POST …/import-ollama`; every field may be left out."""

    model_name: OllamaName | None = None
    base_model: OllamaName | None = None
    ollama_url: Annotated[Words, Field(max_length=2048)] = "http://localhost:11434"


class ActivateRequest(_Request):
    """Body of `POST …/activate`; may be left out."""

    provider_model: Words | None = None


class TrajectoryRequest(Trajectory):
    """Body of `POST …/trajectories`: one such object, or one a line; keys in camel case or snake case."""


Parsed = TypeVar("Parsed", bound=_Request)


def parse_request(model: type[Parsed], body: Mapping[str, Any]) -> Parsed:
    """Raises RequestError with all findings."""
    try:
        return model.model_validate(dict(body))
    except ValidationError as error:
        raise RequestError("; ".join(map(_sentence, error.errors(include_url=False, include_input=False)))) from None


def page_of_query(query: Mapping[str, str]) -> tuple[int, int]:
    """Offset and limit; what is no count is the default."""
    limit, offset = _integer(query.get("limit")), _integer(query.get("offset"))
    return max(0, offset or 0), DEFAULT_PAGE if limit is None or limit <= 0 else min(limit, MAX_PAGE)


def _integer(text: str | None) -> int | None:
    stripped = (text or "").strip()
    digits = stripped.removeprefix("-").removeprefix("+")
    return int(stripped) if digits.isascii() and digits.isdecimal() and len(stripped) <= 12 else None


def _sentence(finding: Mapping[str, Any]) -> str:
    """One finding: `batchSize must be >= 1`."""
    name, kind, context = finding["loc"][0], finding["type"], finding.get("ctx") or {}
    if kind == "value_error":
        return f"{name} {context['error']}"
    if kind == "literal_error":
        return f"{name} must be one of {str(context['expected']).replace(chr(39), '').replace(' or ', ', ')}"
    for key, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if key in context:
            return f"{name} must be {sign} {context[key]:g}" if context[key] < 10**6 else f"{name} is too large"
    if kind == "string_too_long":
        return f"{name} must have at most {context['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return f"{name} must be a name that Ollama knows: [namespace/]model[:tag] of letters, digits, '.', '_' and '-'"
    wanted = {"int": "an integer", "float": "a number", "string": "a string", "finite": "a number"}
    return f"{name} must be {wanted.get(str(kind).split('_')[0], 'of another type')}"
