"""What clients of the API send: OpenAI's fields, and vLLM's where OpenAI has none.

A parameter that would change the answer and that this engine does not know is refused by its name; one that changes
nothing is accepted and ignored. No rule of the engine and no torch here.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_IGNORED = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "priority", "request_id"}
)
"""They change no answer."""
_NEUTRAL: dict[str, list[Any]] = {
    "logprobs": [False],
    "top_logprobs": [0],
    "logit_bias": [{}],
    "tools": [[]],
    "tool_choice": ["none", "auto"],
    "parallel_tool_calls": [True, False],
    "functions": [[]],
    "function_call": ["none", "auto"],
    "response_format": [{"type": "text"}],
    "echo": [False],
    "best_of": [1],
    "suffix": [""],
    "min_tokens": [0],
    "use_beam_search": [False],
    "skip_special_tokens": [True],
    "include_stop_str_in_output": [False],
    "add_generation_prompt": [True],
    "continue_final_message": [False],
    "modalities": [["text"]],
    "continuous_usage_stats": [False],
}
"""Unsupported parameters at the value that changes nothing: many clients send them always."""

StopText = Annotated[str, Field(min_length=1, max_length=512)]
TokenIds = Annotated[list[int], Field(min_length=1)]
Seed = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)

    @model_validator(mode="before")
    @classmethod
    def _without_what_changes_nothing(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if not _changes_nothing(cls, name, value)}


class StreamOptions(_Request):
    """How a stream ends."""

    include_usage: bool = False


class GenerationParameters(_Request):
    """What chat and completions share."""

    model: str | None = None
    """A served name; none means the base model."""
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: Seed | None = None
    n: int = Field(default=1, ge=1, le=128)
    stop: StopText | list[StopText] | None = Field(default=None)
    stop_token_ids: list[int] = []
    ignore_eos: bool = False
    repetition_penalty: float | None = Field(default=None, gt=0)
    frequency_penalty: float = Field(default=0, ge=-2, le=2)
    presence_penalty: float = Field(default=0, ge=-2, le=2)
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def stops(self) -> list[str]:
        """The stop strings."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed together with stream: true")
        return self


class TextPart(_Request):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(_Request):
    """A message of a conversation; which roles there are is the chat template's matter."""

    role: str = Field(min_length=1, max_length=64)
    content: str | list[TextPart]
    name: str | None = None

    def for_template(self) -> dict[str, str]:
        """As chat templates read it."""
        content = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        return {"role": self.role, "content": content} | ({"name": self.name} if self.name is not None else {})


class ChatRequest(GenerationParameters):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    chat_template_kwargs: dict[str, Any] = {}

    @property
    def max_new_tokens(self) -> int | None:
        """None means as many as the context has room for."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


class CompletionRequest(GenerationParameters):
    """`POST /v1/completions`; prompts are texts or token ids."""

    prompt: str | list[int] | list[str] | list[TokenIds]
    max_tokens: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _has_a_prompt(self) -> Self:
        if self.prompt == []:
            raise ValueError("prompt needs at least one text or token")
        return self

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """One for each text that is completed."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt


class LoadAdapterRequest(BaseModel):
    """`POST /v1/load_lora_adapter`."""

    lora_name: str = ""
    lora_path: str = ""
    load_inplace: bool = False


class UnloadAdapterRequest(BaseModel):
    """`POST /v1/unload_lora_adapter`."""

    lora_name: str = ""
    lora_int_id: int | None = None


def _changes_nothing(cls: type[BaseModel], name: str, value: Any) -> bool:
    if value is None or (name in _IGNORED and name not in cls.model_fields):
        return True
    neutral = _NEUTRAL.get(name, []) if name not in cls.model_fields else []
    return any(type(value) is type(known) and value == known for known in neutral)
