"""Examples → token ids and labels. Loss falls on what the assistant says, as far as the data tells what that is.

TRL finds assistant turns only where the chat template marks them; most templates do not. Here each turn is found in
the rendered text itself, so that every template serves and conversations of several turns keep all their answers.
The tokens are those of one tokenization of the whole text, and labels are made before padding: a pad token that
equals the end token hides nothing. Pure but for the tokenizer that is given.
"""

import json
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure, configuration_failure

IGNORED = -100
EncodedRow = dict[str, Any]
"""Lists of token ids, and for some methods a boolean; what the method's collator expects."""
Span = tuple[int, int]
"""Characters [start, end) of a text that carry loss."""


class Encoder(Protocol):
    """Turns one example into a row, and counts what was lost on the way."""

    notes: "EncodingNotes"

    def encode(self, example: dict[str, Any], number: int) -> EncodedRow | None:
        """The row, or None if nothing that could be learned is left. TrainerFailure names setting or example."""


class EncodingNotes:
    """What was noticed while examples were encoded."""

    def __init__(self) -> None:
        self.truncated = 0
        """Examples cut at `maxLength` or `maxPromptLength`."""
        self.dropped = 0
        """Examples of which nothing with loss was left."""
        self.last_turn_only = 0
        """Conversations whose template rewrites earlier turns: only the last answer carries loss."""
        self.lengths = array("I")
        """Tokens of each example before it was cut."""


def encode_all(examples: Iterable[dict[str, Any]], encoder: Encoder) -> Iterator[EncodedRow]:
    """The rows of all examples, counted from 1."""
    for number, example in enumerate(examples, start=1):
        row = encoder.encode(example, number)
        if row is None:
            encoder.notes.dropped += 1
        else:
            yield row


class AnswerEncoder:
    """Supervised examples in TRL's shapes: `messages`, `prompt` and `completion`, or `text`.

    Rows hold `input_ids` and `labels`. `assistant_only` None means: where the data allows.
    """

    def __init__(self, tokenizer: Any, max_length: int, assistant_only: bool | None) -> None:
        self.notes = EncodingNotes()
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._assistant_only = assistant_only

    def encode(self, example: dict[str, Any], number: int) -> EncodedRow | None:
        text, spans = _render(example, self._tokenizer, self._assistant_only, self.notes, number)
        ids, labels = _tokenize(text, spans, self._tokenizer, is_template=not is_plain(example))
        self.notes.lengths.append(len(ids))
        if len(ids) > self._max_length:
            ids, labels = ids[: self._max_length], labels[: self._max_length]
            self.notes.truncated += 1
        if all(label == IGNORED for label in labels[1:]):  # the first token is predicted by nothing
            return None
        return {"input_ids": ids, "labels": labels}


def _render(
    example: dict[str, Any], tokenizer: Any, assistant_only: bool | None, notes: EncodingNotes, number: int
) -> tuple[str, list[Span]]:
    if "text" in example:
        if assistant_only:
            raise configuration_failure(
                "spec.hyperparameters.assistantOnlyLoss",
                "plain text has no assistant turns",
                "Leave it out, or use examples with messages or with prompt and completion.",
            )
        text = ended(example["text"], tokenizer)
        return text, [(0, len(text))]
    if is_plain(example):
        text = ended(example["prompt"] + example["completion"], tokenizer)
        return text, [(0 if assistant_only is False else len(example["prompt"]), len(text))]
    prompt = example.get("prompt", [])
    messages = example["messages"] if "messages" in example else [*prompt, *example["completion"]]
    tools = example.get("tools")
    tools = json.loads(tools) if isinstance(tools, str) else tools
    text = apply_template(messages, tokenizer, tools, number)
    if assistant_only is False:
        return text, [(0, len(text))]
    spans, is_whole = _assistant_spans(messages, len(prompt), text, tokenizer, tools, number)
    notes.last_turn_only += not is_whole
    return text, spans


def _assistant_spans(
    messages: list[dict[str, Any]], first: int, text: str, tokenizer: Any, tools: Any, number: int
) -> tuple[list[Span], bool]:
    turns = [index for index, message in enumerate(messages) if index >= first and message["role"] == "assistant"]
    spans: list[Span] = []
    for index in turns:
        is_last = index == len(messages) - 1
        whole = text if is_last else apply_template(messages[: index + 1], tokenizer, tools, number)
        before = apply_template(messages[:index], tokenizer, tools, number, add_generation_prompt=True)
        if text.startswith(whole):
            spans.append((common_length(before, text), len(whole)))
    if len(spans) == len(turns):
        return spans, True
    return spans[-1:], False


def apply_template(
    messages: list[dict[str, Any]], tokenizer: Any, tools: Any, number: int, *, add_generation_prompt: bool = False
) -> str:
    """The model's chat template over `messages`. TrainerFailure names the example."""
    if tokenizer.chat_template is None:
        raise configuration_failure(
            "spec.dataset.template",
            "the base model has no chat template, and the examples are messages",
            "Use a base model that was trained for chat, or examples with prompt and completion as plain text.",
        )
    try:
        text = tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except Exception as error:  # a template is a program of the model's author and raises what it likes
        raise TrainerFailure(
            ExitCode.DATASET,
            f"example {number}: the model's chat template refuses it: {str(error)[:300]}",
            "Correct the order of the roles; some templates know no system message.",
        ) from error
    return str(text)


def _tokenize(text: str, spans: list[Span], tokenizer: Any, *, is_template: bool) -> tuple[list[int], list[int]]:
    # A chat template writes its own special tokens.
    encoding = tokenizer(text, add_special_tokens=not is_template, return_offsets_mapping=True)
    ids: list[int] = encoding["input_ids"]
    is_everything = spans == [(0, len(text))]
    labels = [
        token if is_everything or any(start < stop and first < stop <= last for first, last in spans) else IGNORED
        for token, (start, stop) in zip(ids, encoding["offset_mapping"], strict=True)
    ]
    return ids, labels


def is_plain(example: dict[str, Any]) -> bool:
    """Whether the example is text, to which no chat template is applied."""
    return "text" in example or isinstance(example.get("prompt"), str)


def ended(text: str, tokenizer: Any) -> str:
    """`text` with the end token."""
    return text if text.endswith(tokenizer.eos_token) else text + str(tokenizer.eos_token)


def common_length(first: str, second: str) -> int:
    """Characters that both texts begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))
