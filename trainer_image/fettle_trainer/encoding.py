"""Examples → token ids and labels. Loss falls on what the assistant says, as far as the data tells what that is.

TRL finds assistant turns only where the chat template marks them; most templates do not. Here each turn is found in
the rendered text itself, so that every template serves and conversations of several turns keep all their answers.
The tokens are those of one tokenization of the whole text, and labels are made before padding: a pad token that
equals the end token hides nothing. Pure but for the tokenizer that is given.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from fettle_data.chat_template import ApplyTemplate
from fettle_data.rendering import SettingError, Span, render
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure, configuration_failure

IGNORED = -100
EncodedRow = dict[str, Any]
"""Lists of token ids, and for some methods a boolean; what the method's collator expects."""


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
        apply = template_of(self._tokenizer, number)
        try:
            rendered = render(example, apply, self._tokenizer.eos_token, self._assistant_only)
        except SettingError as error:
            raise configuration_failure(error.field, str(error), error.hint) from error
        self.notes.last_turn_only += rendered.is_last_turn_only
        ids, labels = _tokenize(rendered.text, rendered.spans, self._tokenizer, is_template=rendered.is_template)
        self.notes.lengths.append(len(ids))
        if len(ids) > self._max_length:
            ids, labels = ids[: self._max_length], labels[: self._max_length]
            self.notes.truncated += 1
        if all(label == IGNORED for label in labels[1:]):  # the first token is predicted by nothing
            return None
        return {"input_ids": ids, "labels": labels}


def template_of(tokenizer: Any, number: int, text: str | None = None) -> ApplyTemplate:
    """The tokenizer's chat template, or `text` instead of it. TrainerFailure names example `number`."""

    def apply(messages: Sequence[Any], *, tools: Any = None, add_generation_prompt: bool = False) -> str:
        if tokenizer.chat_template is None and text is None:
            raise configuration_failure(
                "spec.dataset.template",
                "the base model has no chat template, and the examples are messages",
                "Name a template, use a base model that was trained for chat, or examples with prompt and completion "
                "as plain text.",
            )
        try:
            rendered = tokenizer.apply_chat_template(
                list(messages),
                tools=tools,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                chat_template=text,
            )
        except Exception as error:  # a template is a program of the model's author and raises what it likes
            raise TrainerFailure(
                ExitCode.DATASET,
                f"example {number}: the chat template refuses it: {str(error)[:300]}",
                "Correct the order of the roles; some templates know no system message.",
            ) from error
        return str(rendered)

    return apply


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
