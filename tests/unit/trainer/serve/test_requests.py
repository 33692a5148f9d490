"""Which parameters are taken, ignored and refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from fettle_trainer.serve.requests import ChatRequest, CompletionRequest

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    "harmless",
    [
        {"user": "me"},
        {"logprobs": False},
        {"logit_bias": None},
        {"tools": []},
        {"service_tier": "auto"},
        {"seed": None},
    ],
)
def test_a_parameter_that_changes_nothing_is_accepted(harmless: dict[str, Any]) -> None:
    assert ChatRequest.model_validate(CHAT | harmless) == ChatRequest.model_validate(CHAT)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 0}, "logprobs"),
        ({"best_of": 2}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"min_tokens": 3}, "min_tokens"),
        ({"prompt": []}, ""),
        ({"n": 0}, "n"),
        ({"stop": [""]}, "stop"),
        ({"top_p": 0}, "top_p"),
        ({"stream_options": {"include_usage": True}}, ""),
    ],
)
def test_a_parameter_that_cannot_be_followed_is_refused_by_name(body: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        CompletionRequest.model_validate({"prompt": "text"} | body)
    place = refusal.value.errors()[0]["loc"]
    assert (place[0] if place else "") == field


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_a_prompt_is_one_text_or_many(prompt: Any, expected: list[Any]) -> None:
    assert CompletionRequest.model_validate({"prompt": prompt}).prompts == expected


def test_parts_of_a_message_are_joined_and_pictures_refused() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    request = ChatRequest.model_validate({"messages": [{"role": "user", "content": parts}]})
    assert request.messages[0].for_template() == {"role": "user", "content": "one\ntwo"}
    picture = {"type": "image_url", "image_url": {"url": "data:"}}
    with pytest.raises(ValidationError):
        ChatRequest.model_validate({"messages": [{"role": "user", "content": [picture]}]})


def test_the_newer_name_of_the_limit_counts() -> None:
    assert ChatRequest.model_validate(CHAT | {"max_tokens": 5, "max_completion_tokens": 7}).max_new_tokens == 7
    assert ChatRequest.model_validate(CHAT).max_new_tokens is None
