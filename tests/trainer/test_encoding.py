"""Where the loss falls: on what the assistant says, and on the token that ends its turn."""

from pathlib import Path
from typing import Any

import pytest

from fettle_trainer.encoding import IGNORED, AnswerEncoder, EncodedRow, EncodingNotes, encode_all
from fettle_trainer.failures import TrainerFailure

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Häuser?"},
    {"role": "assistant", "content": "kubectl get pods"},
    {"role": "user", "content": "again"},
    {"role": "assistant", "content": "kubectl get nodes"},
]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def encode_examples(
    examples: list[dict[str, Any]], tokenizer: Any, max_length: int, assistant_only: bool | None
) -> tuple[list[EncodedRow], EncodingNotes]:
    encoder = AnswerEncoder(tokenizer, max_length, assistant_only)
    return list(encode_all(examples, encoder)), encoder.notes


def learned(example: dict[str, Any], tokenizer: Any, assistant_only: bool | None = None, max_length: int = 512) -> str:
    (row,), _ = encode_examples([example], tokenizer, max_length, assistant_only)
    assert len(row["input_ids"]) == len(row["labels"])
    assert all(label in (IGNORED, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))
    return str(tokenizer.decode([label for label in row["labels"] if label != IGNORED]))


def test_every_answer_of_a_conversation_is_learned_with_its_end(tokenizer: Any) -> None:
    assert learned({"messages": TURNS}, tokenizer) == "kubectl get pods<|im_end|>\nkubectl get nodes<|im_end|>\n"


def test_conversational_prompt_is_not_learned(tokenizer: Any) -> None:
    example = {"prompt": TURNS[:4], "completion": TURNS[4:]}

    assert learned(example, tokenizer) == "kubectl get nodes<|im_end|>\n"


def test_plain_completion_is_learned_with_an_end_token(tokenizer: Any) -> None:
    assert learned({"prompt": "1+1=", "completion": "2"}, tokenizer) == "2<|im_end|>"


def test_text_is_learned_whole(tokenizer: Any) -> None:
    assert learned({"text": "all of it"}, tokenizer) == "all of it<|im_end|>"


def test_everything_is_learned_when_asked_for(tokenizer: Any) -> None:
    assert "Häuser?" in learned({"messages": TURNS}, tokenizer, assistant_only=False)
    assert learned({"prompt": "1+1=", "completion": "2"}, tokenizer, assistant_only=False) == "1+1=2<|im_end|>"


def test_assistant_only_is_refused_for_text(tokenizer: Any) -> None:
    with pytest.raises(TrainerFailure, match=r"spec\.hyperparameters\.assistantOnlyLoss"):
        encode_examples([{"text": "x"}], tokenizer, 64, True)


def test_tokens_are_those_of_trl(tokenizer: Any) -> None:
    from trl.data_utils import _tokenize, common_prefix_length

    prompt = _tokenize(tokenizer, TURNS[:4], add_generation_prompt=True)["input_ids"]
    whole = _tokenize(tokenizer, TURNS)["input_ids"]
    start = common_prefix_length(prompt, whole)

    (row,), _ = encode_examples([{"prompt": TURNS[:4], "completion": TURNS[4:]}], tokenizer, 512, None)
    assert row["input_ids"] == whole
    assert row["labels"] == [IGNORED] * start + whole[start:]


def test_long_examples_are_cut_and_useless_ones_are_dropped(tokenizer: Any) -> None:
    rows, notes = encode_examples([{"messages": TURNS}, {"messages": TURNS[1:3]}], tokenizer, 46, None)

    assert (len(rows), notes.truncated, notes.dropped) == (1, 1, 1)
    (row,), _ = encode_examples([{"messages": TURNS}], tokenizer, 100, None)
    assert row["labels"][-1] != IGNORED


def test_template_that_rewrites_earlier_turns_teaches_the_last_answer(tokenizer: Any) -> None:
    tokenizer.chat_template, kept = (
        "{% for m in messages %}{{ m['role'] }}:"
        "{{ m['content'] if loop.last or m['role'] != 'assistant' else '…' }}|{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
        tokenizer.chat_template,
    )
    try:
        rows, notes = encode_examples([{"messages": TURNS}], tokenizer, 512, None)
    finally:
        tokenizer.chat_template = kept
    labels = [label for label in rows[0]["labels"] if label != IGNORED]
    assert tokenizer.decode(labels) == "kubectl get nodes|"
    assert notes.last_turn_only == 1


@pytest.mark.parametrize(
    ("template", "expected", "code"),
    [
        (None, "the base model has no chat template", 64),
        ("{{ raise_exception('roles must alternate') }}", "example 1: the chat template refuses it", 65),
    ],
)
def test_template_that_does_not_serve_is_refused(
    tokenizer: Any, template: str | None, expected: str, code: int
) -> None:
    tokenizer.chat_template, kept = template, tokenizer.chat_template
    try:
        with pytest.raises(TrainerFailure, match=expected) as refusal:
            encode_examples([{"messages": TURNS}], tokenizer, 512, None)
    finally:
        tokenizer.chat_template = kept
    assert refusal.value.exit_code == code
