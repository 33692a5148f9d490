"""Example → text, and the characters of it that carry loss. No tokens here, and no template of any model.

TRL finds assistant turns only where the chat template marks them; most templates do not. Here each turn is found in
the rendered text itself, so that every template serves and conversations of several turns keep all their answers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fettle_data.chat_template import ApplyTemplate, Tools
from fettle_schema.errors import FettleError

Span = tuple[int, int]
"""Characters [start, end) of a text."""


class SettingError(FettleError):
    """A setting that does not go with the data: `field` names it, `hint` says what to do."""

    def __init__(self, field: str, message: str, hint: str) -> None:
        self.field = field
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True)
class RenderedText:
    """One text to train on."""

    text: str
    spans: list[Span]
    """What carries loss, in order."""
    is_template: bool
    """A chat template made the text, special tokens included; a tokenizer must add none."""
    is_last_turn_only: bool = False
    """The template rewrites earlier turns, so only the last answer carries loss."""

    def pieces(self) -> list["Piece"]:
        """The text in pieces that carry loss or do not, none of them empty."""
        ends = sorted({0, len(self.text), *(end for span in self.spans for end in span)})
        return [
            Piece(self.text[start:stop], any(first <= start and stop <= last for first, last in self.spans))
            for start, stop in pairwise(ends)
        ]


@dataclass(frozen=True)
class Piece:
    """A part of a text."""

    text: str
    trained: bool


@dataclass(frozen=True)
class RenderedAnswers:
    """A prompt and answers to it; the prompt followed by any of them is a whole text."""

    prompt: str
    answers: tuple[str, ...]
    is_template: bool
    """A chat template made the texts, special tokens included; a tokenizer must add none."""


def render(
    example: Mapping[str, Any], apply: ApplyTemplate, end_token: str, assistant_only: bool | None
) -> RenderedText:
    """Render `messages`, `prompt` and `completion`, or `text`; a `label` is not looked at.

    `assistant_only` None means: where the data allows. A text that no template ends gets the `end_token`. Raises
    SettingError if the data has no turns of an assistant, and what `apply` raises.
    """
    if "text" in example:
        if assistant_only:
            raise SettingError(
                "spec.hyperparameters.assistantOnlyLoss",
                "plain text has no assistant turns",
                "Leave it out, or use examples with messages or with prompt and completion.",
            )
        text = _ended(example["text"], end_token)
        return RenderedText(text, [(0, len(text))], is_template=False)
    if isinstance(example.get("prompt"), str):
        text = _ended(example["prompt"] + example["completion"], end_token)
        return RenderedText(
            text, [(0 if assistant_only is False else len(example["prompt"]), len(text))], is_template=False
        )
    prompt = example.get("prompt", [])
    messages = example["messages"] if "messages" in example else [*prompt, *example["completion"]]
    tools = _tools(example)
    text = apply(messages, tools=tools)
    if assistant_only is False:
        return RenderedText(text, [(0, len(text))], is_template=True)
    spans, is_whole = _assistant_spans(messages, len(prompt), text, apply, tools)
    return RenderedText(text, spans, is_template=True, is_last_turn_only=not is_whole)


def render_answers(
    example: Mapping[str, Any], templates: Mapping[str, ApplyTemplate], end_token: str
) -> RenderedAnswers:
    """Render `prompt` and the answers in the columns of `templates`, texts or conversations, each by its template.

    The prompt is written by the first of the templates; of it counts what all whole texts begin with. Raises what the
    templates raise.
    """
    prompt = example["prompt"]
    if isinstance(prompt, str):
        answers = tuple(_ended(example[column], end_token) for column in templates)
        return RenderedAnswers(prompt, answers, is_template=False)
    tools = _tools(example)
    asked = next(iter(templates.values()))(prompt, tools=tools, add_generation_prompt=True)
    wholes = [apply([*prompt, *example[column]], tools=tools) for column, apply in templates.items()]
    length = min(common_length(asked, whole) for whole in wholes)
    return RenderedAnswers(asked[:length], tuple(whole[length:] for whole in wholes), is_template=True)


def common_length(first: str, second: str) -> int:
    """Number of characters that both texts begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))


def _assistant_spans(
    messages: Sequence[Mapping[str, Any]], first: int, text: str, apply: ApplyTemplate, tools: Tools | None
) -> tuple[list[Span], bool]:
    turns = [index for index, message in enumerate(messages) if index >= first and message["role"] == "assistant"]
    spans: list[Span] = []
    for index in turns:
        is_last = index == len(messages) - 1
        whole = text if is_last else apply(messages[: index + 1], tools=tools)
        before = apply(messages[:index], tools=tools, add_generation_prompt=True)
        if text.startswith(whole):
            spans.append((common_length(before, text), len(whole)))
    if len(spans) == len(turns):
        return spans, True
    return spans[-1:], False


def _tools(example: Mapping[str, Any]) -> Tools | None:
    tools = example.get("tools")
    return json.loads(tools) if isinstance(tools, str) else tools


def _ended(text: str, end_token: str) -> str:
    return text if text.endswith(end_token) else text + end_token
