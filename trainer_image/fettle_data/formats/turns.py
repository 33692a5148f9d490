"""Texts → messages, for a chat template that is to be applied to prompts and answers that are plain texts."""

from fettle_data.formats.conversation import REASONING, Message
from fettle_data.formats.format import Conversion, checked_text, optional_text
from fettle_data.rows import Values

TURN_COLUMNS = ("system", *REASONING)
Part = str | list[Message]


def in_turns(example: dict[str, Part], values: Values, conversion: Conversion) -> dict[str, Part]:
    """With `wraps_texts`, the prompt as a turn of the user after the row's `system`, the rest as the assistant's.

    Otherwise, and for conversations, the example as it is; `system` is ignored then.
    """
    if not conversion.wraps_texts or not isinstance(example["prompt"], str):
        if values.get("system") is not None:
            conversion.ignore("system")
        return example
    system = optional_text(values, "system")
    before: list[Message] = [{"role": "system", "content": system}] if system.strip() else []
    return {
        column: [*before, {"role": "user", "content": text}]
        if column == "prompt"
        else [{"role": "assistant", "content": text}]
        for column, text in example.items()
        if isinstance(text, str)
    }


def add_reasoning(answer: Part, values: Values, conversion: Conversion) -> None:
    """Put the row's reasoning into the last message of the assistant, or say that it is ignored."""
    for column in REASONING:
        if values.get(column) is None:
            continue
        if isinstance(answer, str) or not conversion.keeps_reasoning:
            conversion.ignore(column)
        else:
            last = next(message for message in reversed(answer) if message["role"] == "assistant")
            last.setdefault(REASONING[0], checked_text(values[column], column, f"column {column!r}"))
