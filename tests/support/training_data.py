"""Rows for each kind of dataset, with something to learn, and the method that trains on it."""

from typing import Any

_WORDS = ("pods", "nodes", "jobs", "logs", "secrets", "events")


def pair_rows(count: int) -> list[dict[str, object]]:
    """Preferences: the command is better than an excuse."""
    return [
        {
            "prompt": [{"role": "user", "content": f"show {word} {index}"}],
            "chosen": [{"role": "assistant", "content": f"kubectl get {word}"}],
            "rejected": [{"role": "assistant", "content": f"I cannot show {word}"}],
        }
        for index, word in _counted(count)
    ]


def labelled_rows(count: int) -> list[dict[str, object]]:
    """Answers of which every second one is good."""
    return [
        {
            "prompt": f"please show {word} {index} to me now\n",
            "completion": f"kubectl get {word}" if index % 2 == 0 else f"I cannot show {word}",
            "label": index % 2 == 0,
        }
        for index, word in _counted(count)
    ]


ROWS: dict[str, Any] = {
    "dpo": pair_rows,
    "ipo": pair_rows,
    "orpo": pair_rows,
    "cpo": pair_rows,
    "simpo": pair_rows,
    "kto": labelled_rows,
}
"""Rows for each method that does not train on messages."""


def _counted(count: int) -> list[tuple[int, str]]:
    return [(index, _WORDS[index % len(_WORDS)]) for index in range(count)]
