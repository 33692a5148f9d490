"""The training request as clients of this API send it: types, defaults and words of the document."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from fettle_api.dialects.bodies import RequestBody, no_boolean, no_parent

Finding = dict[str, Any]
"""One entry of `detail`: `type`, `loc` and `msg`, as FastAPI has them."""


class RequestError(ValueError):
    """What is wrong with a request, all of it."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(str(finding["msg"]) for finding in findings))
        self.findings = findings


def finding(field: str, message: str, kind: str = "value_error", part: str = "body") -> Finding:
    """One thing that is wrong with a field."""
    return {"type": kind, "loc": [part, *field.split(".")] if field else [part], "msg": message}


def _plain_text(text: str) -> str:
    if "\0" in text or not text.strip():
        raise ValueError("must be a text that is not blank, without NUL")
    return text.strip()


Words = Annotated[str, AfterValidator(_plain_text), Field(max_length=253)]
PathText = Annotated[str, AfterValidator(_plain_text), AfterValidator(no_parent), Field(max_length=512)]
Count = Annotated[int, BeforeValidator(no_boolean), Field(ge=1, le=1_000_000_000)]
Number = Annotated[float, BeforeValidator(no_boolean), Field(gt=0, allow_inf_nan=False)]
Tracking = Literal["wandb", "mlflow"]


class TrainRequest(RequestBody):
    """Body of `POST /train`. Every field is optional, `null` is the default, unknown fields are ignored."""

    model_config = ConfigDict(use_attribute_docstrings=True, title=None)

    model_name: PathText = "Qwen/Qwen2.5-1.5B-Instruct"
    """Alias, hub id, or directory below `models/`."""
    dataset_version: Words = "v1.0"
    """Version of a dataset (`v1.0`), or `template:source:v1.0`."""
    template: Words = "qwen"
    """How messages become text: `qwen` (chatml), `qwen3`, `llama3`, `mistral`; others: the tokenizer's template."""
    cutoff_len: Count = 2048
    """Longest example in tokens."""
    max_samples: Count = 10000
    """Use at most this many examples."""
    batch_size: Count = 1
    """Examples in one micro-batch."""
    gradient_accumulation_steps: Count = 2
    """Micro-batches in one step."""
    learning_rate: Number = 2.0e-5
    """Peak learning rate; a text that is a number will do."""
    num_epochs: Number = 3.0
    """Passes over the dataset."""
    save_steps: Count = 1000
    """Steps between two checkpoints."""
    lora_name: Words = "initial-sft"
    """Name of the adapter; the same name again is a new version of it."""
    lora_version: Words | None = None
    """Echoed; an adapter's versions are digests."""
    lora_hf_repo: Words | None = None
    """Repository of the hub to which the adapter is pushed at the end."""
    adapter_path: PathText | None = None
    """Adapter to start from: its name, its path in the workspace, or a hub id."""
    webhook_url: Annotated[str, Field(min_length=8, max_length=2048)] | None = Field(default=None, repr=False)
    """Called once when the job has ended. Never echoed."""
    tracking_backend: Tracking | None = None
    """Where metrics are sent; without credentials nowhere."""
    logging_backend: Tracking | None = None
    """The same; `tracking_backend` wins."""
    training_type: Literal["sft", "dpo", "kto", "pt"] = "sft"
    """`pt` is `sft` on plain text."""

    @property
    def tracking(self) -> Tracking | None:
        """Where metrics are sent."""
        return self.tracking_backend or self.logging_backend

    def echo(self, only_given: bool = False) -> dict[str, Any]:
        """`config` of an answer: the fields (those that came with the request) but for the webhook and the alias."""
        fields = self.model_dump(exclude={"webhook_url", "logging_backend"}, exclude_unset=only_given)
        if self.tracking is not None:
            fields["tracking_backend"] = self.tracking
        return fields


def parse_request(body: Any) -> TrainRequest:
    """Raises RequestError with all findings."""
    if not isinstance(body, dict):
        raise RequestError([finding("", "Input should be a valid dictionary", "model_attributes_type")])
    try:
        return TrainRequest.model_validate(body)
    except ValidationError as error:
        raise RequestError([_finding(found) for found in error.errors(include_url=False)]) from None


def parse_strategy(query: Mapping[str, str]) -> bool:
    """Whether a busy trainer shall reject the job. Raises RequestError."""
    strategy = query.get("strategy", "queue")
    if strategy not in ("queue", "reject"):
        raise RequestError([finding("strategy", "Input should be 'queue' or 'reject'", "enum", part="query")])
    return strategy == "reject"


def _finding(found: Mapping[str, Any]) -> Finding:
    return {"type": found["type"], "loc": ["body", *found["loc"]], "msg": found["msg"]}
