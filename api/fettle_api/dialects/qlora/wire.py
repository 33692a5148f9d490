"""Requests as clients of this API send them: types, defaults, and the words in which each mistake is named."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from fettle_api.dialects.bodies import RequestBody, no_boolean, printable

MODELS = {
    "codellama-7b-instruct": "codellama/CodeLlama-7b-Instruct-hf",
    "mistral-7b-instruct-v0.2": "mistralai/Mistral-7B-Instruct-v0.2",
    "llama-2-7b-chat": "meta-llama/Llama-2-7b-chat-hf",
    "codellama-13b-instruct": "codellama/CodeLlama-13b-Instruct-hf",
    "phi-2": "microsoft/phi-2",
}
"""The API's short names; those of the installation come before them."""


class RequestError(ValueError):
    """What is wrong with a request: the first thing, in the order in which this API looks."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _present(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text.strip()


Words = Annotated[str, AfterValidator(printable)]
Integer = Annotated[int, BeforeValidator(no_boolean)]
Count = Annotated[Integer, Field(ge=1, le=100_000_000)]
Number = Annotated[float, BeforeValidator(no_boolean), Field(allow_inf_nan=False)]
Modules = Annotated[list[Annotated[Words, Field(min_length=1, max_length=128)]], BeforeValidator(_as_list)]


class _Part(RequestBody):
    model_config = ConfigDict(use_attribute_docstrings=True)


class LoraConfig(_Part):
    """`lora_config`; unknown keys are ignored."""

    r: Count = 4
    """Rank."""
    lora_alpha: Annotated[Number, Field(gt=0)] = 8
    """The adapter is scaled by `lora_alpha / r`."""
    lora_dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    """Dropout before the first factor."""
    target_modules: Annotated[Modules, Field(min_length=1, max_length=64)] = ["q_proj", "v_proj", "k_proj", "o_proj"]
    """Names of linear layers; a single text is a list of one."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Which biases are trained."""
    task_type: Literal["CAUSAL_LM"] = "CAUSAL_LM"
    """There is no other."""
    modules_to_save: Annotated[Modules, Field(max_length=16)] | None = None
    """Modules that are trained whole and saved with the adapter."""


class TrainingConfig(_Part):
    """`training_config`; an unknown key is a mistake."""

    num_epochs: Annotated[Number, Field(gt=0, le=1000)] = 3
    """Passes over the texts."""
    batch_size: Count = 1
    """Texts in one micro-batch."""
    learning_rate: Annotated[Number, Field(gt=0)] = 2e-4
    """Peak learning rate."""
    max_steps: Annotated[Integer, Field(ge=-1)] = -1
    """Steps in all; -1 and 0 leave it to `num_epochs`."""
    gradient_accumulation_steps: Count = 4
    """Micro-batches in one step."""
    warmup_steps: Annotated[Integer, Field(ge=0)] = 100
    """Steps in which the learning rate grows."""
    logging_steps: Count = 10
    """Steps between two reports."""
    save_steps: Count = 500
    """Steps between two checkpoints."""
    max_seq_length: Count = 2048
    """Longest text in tokens."""


class AlpacaRow(_Part):
    """One item of `training_data`."""

    instruction: Annotated[Words, Field(min_length=1)]
    input: Words = ""
    output: Words

    def text(self) -> str:
        """As the API's own texts are written."""
        middle = f"### Input:\n{self.input}\n\n" if self.input.strip() else ""
        return f"### Instruction:\n{self.instruction}\n\n{middle}### Response:\n{self.output}"


class Names(_Part):
    """What else a request to train may say."""

    output_dir: Annotated[Words, Field(max_length=512)] | None = None
    adapter_name: Annotated[Words, AfterValidator(_present), Field(max_length=253)] | None = None
    description: Annotated[Words, Field(max_length=4096)] | None = None


class StartRequest(Names):
    """Body of `POST /api/training/start`."""

    model_name: str
    """Short name, hub id, or directory below `models/`."""
    train_texts: list[str] = []
    """What is trained on."""
    training_data: list[AlpacaRow] = []
    """The same as `{instruction, input, output}`, instead of `train_texts`."""
    lora_config: LoraConfig = LoraConfig()
    training_config: TrainingConfig = TrainingConfig()

    def echo(self) -> dict[str, Any]:
        """What is kept of it: all but the texts, and only what came with it."""
        kept = self.model_dump(exclude={"train_texts", "training_data", "description"}, exclude_unset=True)
        return {name: value for name, value in kept.items() if value not in (None, {})}


class DatasetName(_Part):
    """What else an upload may say."""

    dataset_name: Annotated[Words, AfterValidator(_present), Field(max_length=253)] | None = None


class UploadRequest(DatasetName):
    """Body of `POST /api/training/data/upload`."""

    train_texts: list[str]


def check_start(body: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The model's name and the texts, judged in the order of the API. Raises RequestError."""
    if not body:
        raise RequestError("No data provided")
    model_name = body.get("model_name")
    if model_name is None or model_name == "" or (isinstance(model_name, str) and not model_name.strip()):
        raise RequestError("model_name is required")
    if not isinstance(model_name, str) or "\0" in model_name:
        raise RequestError("model_name must be a string")
    return model_name.strip(), _texts(body)


def check_upload(body: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The dataset's name and the texts. Raises RequestError."""
    if not body:
        raise RequestError("No data provided")
    texts = _given_texts(body.get("train_texts"))
    return _parsed(DatasetName, body, "").dataset_name, texts


def parse_start(body: Mapping[str, Any], model_name: str, texts: list[str]) -> StartRequest:
    """The rest, once the model is known. Raises RequestError."""
    lora = _parsed(LoraConfig, _object(body, "lora_config"), "lora_config.")
    training = _object(body, "training_config")
    unknown = sorted(training.keys() - TrainingConfig.model_fields.keys())
    if unknown:
        allowed = ", ".join(TrainingConfig.model_fields)
        raise RequestError(f"Unknown training_config key: {unknown[0][:64]}. Allowed are {allowed}")
    return StartRequest(
        model_name=model_name,
        train_texts=texts,
        lora_config=lora,
        training_config=_parsed(TrainingConfig, training, "training_config."),
        **_parsed(Names, body, "").model_dump(exclude_unset=True),
    )


def _texts(body: Mapping[str, Any]) -> list[str]:
    """`train_texts`, else `training_data`."""
    rows = body.get("training_data")
    if body.get("train_texts") or not rows:
        return _given_texts(body.get("train_texts"))
    if not isinstance(rows, list):
        raise RequestError("training_data must be a list")
    return [_row(row, f"training_data[{number}]").text() for number, row in enumerate(rows)]


def _given_texts(texts: object) -> list[str]:
    if not texts:
        raise RequestError("train_texts is required and must not be empty")
    if not isinstance(texts, list):
        raise RequestError("train_texts must be a list")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise RequestError(f"train_texts[{number}] must be a string")
    return texts


def _row(row: object, place: str) -> AlpacaRow:
    if not isinstance(row, dict):
        raise RequestError(f"{place} must be an object with instruction and output")
    return _parsed(AlpacaRow, row, f"{place}.")


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise RequestError(f"{name} must be an object")
    return value or {}


Parsed = TypeVar("Parsed", bound=_Part)


def _parsed(model: type[Parsed], value: Mapping[str, Any], place: str) -> Parsed:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestError(_sentence(error.errors(include_url=False)[0], place)) from None


def _sentence(finding: Mapping[str, Any], place: str) -> str:
    """`training_config.num_epochs must be > 0`."""
    kind, context = finding["type"], finding.get("ctx") or {}
    name = place + "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in finding["loc"])
    if kind == "missing":
        return f"{name} is required"
    if kind == "value_error":
        return f"{name} {context['error']}"
    if kind == "literal_error":
        return f"{name} must be {context['expected']}"
    for key, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if key in context:
            bound = context[key]
            return f"{name} must be {sign} {int(bound) if math.floor(bound) == bound else bound}"
    if kind in ("string_too_long", "too_long"):
        of = "entries" if context.get("field_type") == "List" else "characters"
        return f"{name} must have at most {context['max_length']} {of}"
    if kind in ("string_too_short", "too_short"):
        return f"{name} must not be empty"
    wanted = {"int": "an integer", "float": "a number", "string": "a string", "finite": "a number", "list": "a list"}
    return f"{name} must be {wanted.get(kind.split('_')[0], 'of another type')}"
