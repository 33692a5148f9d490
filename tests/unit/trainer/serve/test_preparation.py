"""What the engine is asked for a request."""

from typing import Any

import pytest

from fettle_trainer.serve.errors import RequestError
from fettle_trainer.serve.preparation import Preparation
from fettle_trainer.serve.requests import ChatRequest, CompletionRequest


class CharacterTokenizer:
    """A token for each character; the template puts roles before messages."""

    chat_template: str | None = "a template"

    def __len__(self) -> int:
        return 128

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": ([1] if add_special_tokens else []) + [ord(character) for character in text]}

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> str:
        if options.get("fails"):
            raise ValueError("roles must alternate")
        return "".join(f"{message['role']}:{message['content']};" for message in messages) + "a:"


def preparation(**defaults: float) -> Preparation:
    return Preparation(CharacterTokenizer(), 40, frozenset({2}), defaults)


def chat(**options: Any) -> ChatRequest:
    return ChatRequest.model_validate({"messages": [{"role": "u", "content": "hi"}], **options})


def test_a_chat_goes_through_the_template_without_special_tokens_of_its_own() -> None:
    (sequence,) = preparation().of_chat(chat())
    assert bytes(sequence.prompt) == b"u:hi;a:"
    assert sequence.max_new_tokens == 40 - 7
    assert sequence.end_tokens == {2}


def test_what_the_request_leaves_out_is_what_the_models_authors_recommend() -> None:
    (sequence,) = preparation(temperature=0.6, top_k=20).of_chat(chat(top_k=3, ignore_eos=True, stop_token_ids=[9]))
    assert (sequence.parameters.temperature, sequence.parameters.top_k) == (0.6, 3)
    assert sequence.end_tokens == {9}


def test_each_choice_of_each_prompt_has_its_place_and_seed() -> None:
    request = CompletionRequest.model_validate({"prompt": ["ab", "c"], "n": 2, "seed": (1 << 63) - 1})
    sequences = preparation().of_completion(request)
    assert [(sequence.index, bytes(sequence.prompt)) for sequence in sequences] == [
        (0, b"\x01ab"),
        (1, b"\x01ab"),
        (2, b"\x01c"),
        (3, b"\x01c"),
    ]
    assert [sequence.parameters.seed for sequence in sequences[:2]] == [(1 << 63) - 1, -(1 << 63)]


@pytest.mark.parametrize(
    ("body", "param", "expected"),
    [
        ({"prompt": "x" * 40}, "prompt", "maximum context length is 40 tokens"),
        ({"prompt": "x" * 20, "max_tokens": 20}, "max_tokens", "max_tokens is 20"),
        ({"prompt": [5, 128]}, "prompt", "less than 128"),
        ({"prompt": [-1]}, "prompt", "at least 0"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(body: dict[str, Any], param: str, expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as refusal:
        preparation().of_completion(CompletionRequest.model_validate(body))
    assert refusal.value.param == param


def test_what_the_template_refuses_is_told() -> None:
    with pytest.raises(RequestError, match="roles must alternate"):
        preparation().of_chat(chat(chat_template_kwargs={"fails": True}))
    with pytest.raises(RequestError, match="'tokenize' cannot be set"):
        preparation().of_chat(chat(chat_template_kwargs={"tokenize": True}))


def test_an_answer_to_one_prompt_is_as_long_as_there_is_room() -> None:
    assert preparation().of_prompt("hello", None, 100, 0).max_new_tokens == 40 - len("user:hello;a:")
    assert preparation().of_prompt("hello", None, 4, 0).max_new_tokens == 4
