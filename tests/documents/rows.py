"""The rows that stand for the documents' datasets. Pure."""

from typing import Any

from tests.support.tiny_model import message_rows

_ROWS = 24


def messages() -> list[dict[str, Any]]:
    """Conversations."""
    return message_rows(_ROWS)


def pairs() -> list[dict[str, Any]]:
    """Preferences with the columns that Merlina's document shows."""
    return [
        {
            "system": "You know the numbers.",
            "prompt": f"What comes after {number}?",
            "chosen": f"{number + 1} comes after it.",
            "rejected": "I do not know.",
        }
        for number in range(_ROWS)
    ]
