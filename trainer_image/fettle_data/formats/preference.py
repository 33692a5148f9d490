"""`preference`: a chosen and a rejected answer to a prompt; without `prompt`, both answers begin with it.

Where a chat template is named, texts become turns, with `system` before them. `reasoning` goes into both answers. For
kto a pair is two examples.
"""

from typing import Any

from fettle_data.findings import FindingCode
from fettle_data.formats.conversation import Message, require_answer, require_same_kind, text_or_conversation
from fettle_data.formats.format import Conversion, Example, Format, InvalidRowError
from fettle_data.formats.shared_prompt import split_texts, split_turns
from fettle_data.formats.turns import TURN_COLUMNS, Part, add_reasoning, in_turns
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat


def labelled(pair: Example, *, is_chosen: bool) -> Example:
    """One half of a pair as `unpaired-preference`."""
    return {"prompt": pair["prompt"], "completion": pair["chosen" if is_chosen else "rejected"], "label": is_chosen}


def _convert(values: Values, conversion: Conversion) -> Example:
    columns = [column for column in ("prompt", "chosen", "rejected") if values.get(column) is not None]
    example = {column: text_or_conversation(values, column, conversion) for column in columns}
    if example["chosen"] == example["rejected"]:
        raise InvalidRowError(FindingCode.SAME_ANSWERS, "rejected", "'chosen' and 'rejected' are the same")
    example = _with_prompt(example)
    require_answer(example["chosen"], "chosen")
    require_answer(example["rejected"], "rejected")
    example = in_turns(example, values, conversion)
    for answer in ("chosen", "rejected"):
        add_reasoning(example[answer], values, conversion)
    return dict(example)


def _with_prompt(example: dict[str, Part]) -> dict[str, Part]:
    """The example with a prompt that its answers do not repeat."""
    prompt, chosen, rejected = example.get("prompt"), example["chosen"], example["rejected"]
    if isinstance(chosen, list) and isinstance(rejected, list):
        if prompt is None or (isinstance(prompt, str) and _asks(prompt, chosen) and _asks(prompt, rejected)):
            return _named(split_turns(chosen, rejected))
        if isinstance(prompt, list) and chosen[: len(prompt)] == prompt == rejected[: len(prompt)]:
            return _named((prompt, chosen[len(prompt) :], rejected[len(prompt) :]))
    require_same_kind(example)
    if prompt is None and isinstance(chosen, str) and isinstance(rejected, str):
        return _named(split_texts(chosen, rejected))
    return example


def _asks(prompt: str, messages: list[Message]) -> bool:
    """Whether the conversation holds the prompt, as datasets do that give it twice."""
    return {"role": "user", "content": prompt} in messages


def _named(parts: tuple[Any, Any, Any]) -> dict[str, Part]:
    return dict(zip(("prompt", "chosen", "rejected"), parts, strict=True))


FORMAT = Format(
    DatasetFormat.PREFERENCE, required=("chosen", "rejected"), optional=("prompt", *TURN_COLUMNS), convert=_convert
)
