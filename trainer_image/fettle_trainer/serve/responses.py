"""What clients of the API get: OpenAI's bodies, with vLLM's words where it has its own. Pure."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from fettle_trainer.serve.adapters import ServedAdapter
from fettle_trainer.serve.errors import RequestError
from fettle_trainer.serve.limits import EngineLimits
from fettle_trainer.serve.sequences import Answer

Endpoint = Literal["chat", "completion"]
DONE = "data: [DONE]\n\n"


@dataclass(frozen=True)
class ResponseHead:
    """What all parts of one response have in common."""

    endpoint: Endpoint
    id: str
    created: int
    model: str

    def body(self, choices: list[dict[str, Any]], *, is_chunk: bool = False, **others: Any) -> dict[str, Any]:
        """A response, or a part of a stream."""
        object_ = {"chat": "chat.completion", "completion": "text_completion"}[self.endpoint]
        object_ += ".chunk" if is_chunk and self.endpoint == "chat" else ""
        return {
            "id": self.id,
            "object": object_,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        } | others

    def whole(self, answers: list[Answer], prompt_tokens: int) -> dict[str, Any]:
        """The response to a request that is not streamed."""
        choices = [
            {"index": answer.index, "logprobs": None, "finish_reason": answer.finish_reason, **self._content(answer)}
            for answer in sorted(answers, key=lambda answer: answer.index)
        ]
        return self.body(choices, usage=usage(prompt_tokens, sum(answer.token_count for answer in answers)))

    def first_chunk(self, index: int) -> dict[str, Any]:
        """What a stream of a chat begins with: who speaks."""
        delta = {"role": "assistant", "content": ""}
        return self.body([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}], is_chunk=True)

    def chunk(self, answer: Answer) -> dict[str, Any]:
        """What was added to an answer."""
        text = {"delta": {"content": answer.text}} if self.endpoint == "chat" else {"text": answer.text}
        choice = {"index": answer.index, **text, "logprobs": None, "finish_reason": answer.finish_reason}
        return self.body([choice], is_chunk=True)

    def _content(self, answer: Answer) -> dict[str, Any]:
        if self.endpoint == "chat":
            return {"message": {"role": "assistant", "content": answer.text}}
        return {"text": answer.text}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Tokens read and written."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def error_body(error: RequestError) -> dict[str, Any]:
    """OpenAI's shape of an error."""
    return {
        "error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.status},
    }


def model_list(
    base_names: list[str], base_root: str, created: int, limits: EngineLimits, adapters: list[ServedAdapter]
) -> dict[str, Any]:
    """The base model under each of its names, with what it takes on, then the adapters."""
    told = {"max_model_len": limits.max_length, "max_lora_rank": limits.max_lora_rank}
    bases = [_model(name, created, base_root, None) | told for name in base_names]
    served = [_model(adapter.name, adapter.created, adapter.path, base_names[0]) for adapter in adapters]
    return {"object": "list", "data": bases + served}


def event(body: dict[str, Any]) -> str:
    """One event of a stream."""
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def _model(name: str, created: int, root: str, parent: str | None) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "fettle", "root": root, "parent": parent}
