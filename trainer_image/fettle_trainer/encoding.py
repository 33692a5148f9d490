"""Examples → token ids and labels. Loss falls on what the assistant says, as far as the data tells what that is.

TRL finds assistant turns only where the chat template marks them; most templates do not. Here each turn is found in
the rendered text itself, so that every template serves and conversations of several turns keep all their answers.
The tokens are those of one tokenization of the whole text, and labels are made before padding: a pad token that
equals the end token hides nothing. Pure but for the tokenizer that is given.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure, configuration_failure

IGNORED = -100
Span = tuple[int, int]
"""Characters [start, end) of a text that carry loss."""


@dataclass
class EncodedExamples:
    """What the training loop reads, and what was lost on the way."""

    rows: list[dict[str, list[int]]] = field(default_factory=list)
    """`input_ids` and `labels` of each example."""
    truncated: int = 0
    """Examples cut at `maxLength`."""
    dropped: int = 0
    """Examples of which nothing with loss was left."""
    last_turn_only: int = 0
    """Conversations whose template rewrites earlier turns: only the last answer carries loss."""


def encode_examples(
    examples: Sequence[dict[str, Any]], tokenizer: Any, max_length: int, assistant_only: bool | None
) -> EncodedExamples:
    """Encode examples in TRL's shapes: `messages`, `prompt` and `completion`, or `text`.

    `assistant_only` None means: where the data allows. TrainerFailure names the setting or the example (from 1).
    """
    encoded = EncodedExamples()
    for number, example in enumerate(examples, start=1):
        text, spans = _render(example, tokenizer, assistant_only, encoded, number)
        ids, labels = _tokenize(text, spans, tokenizer, is_template="text" not in example and not _is_plain(example))
        if len(ids) > max_length:
            ids, labels, encoded.truncated = ids[:max_length], labels[:max_length], encoded.truncated + 1
        if all(label == IGNORED for label in labels[1:]):  # the first token is predicted by nothing
            encoded.dropped += 1
        else:
            encoded.rows.append({"input_ids": ids, "labels": labels})
    return encoded


def _render(
    example: dict[str, Any], tokenizer: Any, assistant_only: bool | None, encoded: EncodedExamples, number: int
) -> tuple[str, list[Span]]:
    if "text" in example:
        if assistant_only:
            raise configuration_failure(
                "spec.hyperparameters.assistantOnlyLoss",
                "plain text has no assistant turns",
                "Leave it out, or use examples with messages or with prompt and completion.",
            )
        text = _ended(example["text"], tokenizer)
        return text, [(0, len(text))]
    if _is_plain(example):
        text = _ended(example["prompt"] + example["completion"], tokenizer)
        return text, [(0 if assistant_only is False else len(example["prompt"]), len(text))]
    prompt = example.get("prompt", [])
    messages = example["messages"] if "messages" in example else [*prompt, *example["completion"]]
    tools = example.get("tools")
    tools = json.loads(tools) if isinstance(tools, str) else tools
    text = _apply_template(messages, tokenizer, tools, number)
    if assistant_only is False:
        return text, [(0, len(text))]
    spans, is_whole = _assistant_spans(messages, len(prompt), text, tokenizer, tools, number)
    encoded.last_turn_only += not is_whole
    return text, spans


def _assistant_spans(
    messages: list[dict[str, Any]], first: int, text: str, tokenizer: Any, tools: Any, number: int
) -> tuple[list[Span], bool]:
    turns = [index for index, message in enumerate(messages) if index >= first and message["role"] == "assistant"]
    spans: list[Span] = []
    for index in turns:
        is_last = index == len(messages) - 1
        whole = text if is_last else _apply_template(messages[: index + 1], tokenizer, tools, number)
        before = _apply_template(messages[:index], tokenizer, tools, number, add_generation_prompt=True)
        if text.startswith(whole):
            spans.append((_common_length(before, text), len(whole)))
    if len(spans) == len(turns):
        return spans, True
    return spans[-1:], False


def _apply_template(
    messages: list[dict[str, Any]], tokenizer: Any, tools: Any, number: int, *, add_generation_prompt: bool = False
) -> str:
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


def _is_plain(example: dict[str, Any]) -> bool:
    return isinstance(example.get("prompt"), str)


def _ended(text: str, tokenizer: Any) -> str:
    return text if text.endswith(tokenizer.eos_token) else text + str(tokenizer.eos_token)


def _common_length(first: str, second: str) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))
