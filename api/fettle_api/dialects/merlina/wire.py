"""Bodies as Merlina's clients send them: types, defaults and ranges of the document. A value out of range is a 422."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from fastapi import HTTPException
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from fettle_api.dialects.bodies import RequestBody, no_boolean, printable

MASK = "***"
"""What an answer shows instead of a secret."""
DEFAULT_MODEL = "meta-llama/Meta-Llama-3-8B-Instruct"
_TARGETS = ["up_proj", "down_proj", "gate_proj", "k_proj", "q_proj", "v_proj", "o_proj"]
_SECRETS = ("hf_token", "wandb_key")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _not_masked(value: object) -> object:
    """A configuration that was saved and loaded again holds no secret."""
    return None if value in (MASK, "") else value


Words = Annotated[str, AfterValidator(printable), Field(max_length=253)]
LongWords = Annotated[str, AfterValidator(printable), Field(max_length=4096)]
Name = Annotated[Words, AfterValidator(_not_blank)]
PathText = Annotated[str, AfterValidator(printable), Field(max_length=512)]
Secret = Annotated[
    Annotated[str, AfterValidator(printable), Field(max_length=4096)] | None, BeforeValidator(_not_masked)
]
Number = Annotated[float, BeforeValidator(no_boolean), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(no_boolean)]
Pieces = Annotated[
    dict[Annotated[str, Field(max_length=128)], Annotated[str, AfterValidator(printable), Field(max_length=2048)]],
    Field(max_length=32),
]
Columns = Annotated[
    dict[Annotated[str, Field(max_length=128)], Annotated[str, AfterValidator(printable), Field(max_length=128)]],
    Field(max_length=32),
]


class SourceBody(RequestBody):
    """`source` of a dataset."""

    source_type: Words
    repo_id: PathText = ""
    split: Words = "train"
    file_path: PathText = ""
    file_format: Words = ""
    dataset_id: Words = ""


class FormatBody(RequestBody):
    """`format` of a dataset."""

    format_type: Words = "chatml"
    custom_templates: Pieces | None = None
    enable_thinking: bool = True


class DatasetBody(RequestBody):
    """A dataset: body of the previews, and `dataset` of a configuration."""

    source: SourceBody
    format: FormatBody = FormatBody()
    model_name: PathText = ""
    column_mapping: Columns = {}
    test_size: Annotated[Number, Field(ge=0.001, le=0.5)] = 0.01
    max_samples: Annotated[Whole, Field(ge=1, le=1_000_000_000)] | None = None


class TrainingConfig(RequestBody):
    """Body of `POST /validate`, and without a dataset no body of `POST /train`."""

    base_model: Annotated[PathText, AfterValidator(_not_blank)] = DEFAULT_MODEL
    output_name: Name
    training_mode: Literal["orpo", "sft", "dpo", "simpo", "cpo", "ipo", "kto"] = "orpo"
    use_lora: bool = True
    lora_r: Annotated[Whole, Field(ge=8, le=256)] = 64
    lora_alpha: Annotated[Whole, Field(ge=8, le=256)] = 32
    lora_dropout: Annotated[Number, Field(ge=0, le=0.5)] = 0.05
    target_modules: Annotated[
        list[Annotated[str, AfterValidator(printable), Field(min_length=1, max_length=128)]],
        Field(min_length=1, max_length=64),
    ] = _TARGETS
    learning_rate: Annotated[Number, Field(ge=1e-8, le=1e-3)] = 5e-6
    num_epochs: Annotated[Whole, Field(ge=1, le=10)] = 2
    batch_size: Annotated[Whole, Field(ge=1, le=8)] = 1
    gradient_accumulation_steps: Annotated[Whole, Field(ge=1, le=128)] = 16
    max_length: Annotated[Whole, Field(ge=512, le=131072)] = 2048
    max_prompt_length: Annotated[Whole, Field(ge=256, le=131072)] = 1024
    beta: Annotated[Number, Field(ge=0.01, le=10)] = 0.1
    seed: Annotated[Whole, Field(ge=0, le=99999)] = 42
    max_grad_norm: Annotated[Number, Field(ge=0.1, le=5)] = 0.3
    warmup_ratio: Annotated[Number, Field(ge=0, le=0.5)] = 0.05
    eval_steps: Annotated[Number, Field(ge=0, le=1)] = 0.2
    use_4bit: bool = True
    use_wandb: bool = True
    push_to_hub: bool = False
    merge_lora_before_upload: bool = True
    hf_hub_private: bool = True
    hf_token: Secret = Field(default=None, repr=False)
    wandb_key: Secret = Field(default=None, repr=False)
    shuffle_dataset: bool = True
    weight_decay: Annotated[Number, Field(ge=0, le=0.5)] = 0.01
    lr_scheduler_type: Words = "cosine"
    gradient_checkpointing: bool = False
    logging_steps: Annotated[Whole, Field(ge=1, le=100)] = 1
    optimizer_type: Words = "paged_adamw_8bit"
    adam_beta1: Annotated[Number, Field(ge=0.8, le=0.99)] = 0.9
    adam_beta2: Annotated[Number, Field(ge=0.9, le=0.9999)] = 0.999
    adam_epsilon: Annotated[Number, Field(ge=1e-9, le=1e-6)] = 1e-8
    attn_implementation: Words = "auto"
    gpu_ids: Annotated[list[Annotated[Whole, Field(ge=0, le=1023)]], Field(max_length=64)] | None = None
    wandb_project: Words | None = None
    wandb_run_name: Words | None = None
    wandb_tags: Annotated[list[Words], Field(max_length=32)] | None = None
    wandb_notes: LongWords | None = None
    dataset: DatasetBody | None = None

    def echo(self) -> dict[str, Any]:
        """The fields that came with the request, secrets replaced."""
        fields = self.model_dump(exclude_unset=True)
        return {name: MASK if name in _SECRETS and value else value for name, value in fields.items()}


class TrainRequest(TrainingConfig):
    """Body of `POST /train`."""

    dataset: DatasetBody


class SaveRequest(RequestBody):
    """Body of `POST /configs/save`; `config` is kept as it comes, but for secrets."""

    name: Words
    config: dict[str, Any]
    description: LongWords = ""
    tags: Annotated[list[Words], Field(max_length=64)] = []


class ExportRequest(RequestBody):
    """Body of `POST /configs/export`."""

    name: Words
    output_path: PathText


class ImportRequest(RequestBody):
    """Body of `POST /configs/import`."""

    filepath: PathText
    name: Words | None = None


class PreloadRequest(RequestBody):
    """Body of `POST /model/preload`."""

    model_name: Annotated[PathText, AfterValidator(_not_blank)]
    hf_token: Secret = Field(default=None, repr=False)


Parsed = TypeVar("Parsed", bound=RequestBody)


def parse(model: type[Parsed], body: Mapping[str, Any]) -> Parsed:
    """Raises an HTTPException 422 with all findings, in the form that FastAPI gives them."""
    try:
        return model.model_validate(dict(body))
    except ValidationError as error:
        findings = error.errors(include_url=False, include_context=False, include_input=False)
        places = [(("body", *finding["loc"]), finding["msg"], finding["type"]) for finding in findings]
        raise unprocessable(places) from None


def unprocessable(findings: list[tuple[tuple[int | str, ...], str, str]]) -> HTTPException:
    """A 422: place, sentence and kind of each finding."""
    detail = [{"type": kind, "loc": [_shown(part) for part in place], "msg": words} for place, words, kind in findings]
    return HTTPException(422, detail=detail[:50])


def _shown(part: int | str) -> int | str:
    return part[:128] if isinstance(part, str) else part
