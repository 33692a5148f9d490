"""Whether a JSON value has the fields and types of an example. Pure.

A path reads `jobs[].completed_at`; the values of an object whose keys are ids are `jobs{}`.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

_TEXT = r'"(?:\\.|[^"\\])*"'
_LEFT_OUT = re.compile(rf"({_TEXT})|//[^\n]*|\.\.\.")
_LAST_COMMA = re.compile(rf"({_TEXT})|,(?=\s*[,}}\]])")


@dataclass(frozen=True)
class Difference:
    """One place where a value is not like the example."""

    path: str
    words: str

    def __str__(self) -> str:
        return f"{self.path or 'the whole'} {self.words}"


def parse_example(text: str) -> Any:
    """JSON as documents write it: with `//` comments, and `...` for what is left out. Raises ValueError."""
    without = _LEFT_OUT.sub(lambda match: match[1] or "", text)
    return json.loads(_LAST_COMMA.sub(lambda match: match[1] or "", without))


def differences(found: Any, example: Any, keyed_by_id: Collection[str] = (), path: str = "") -> list[Difference]:
    """Where `found` lacks a field of the example or has another type; each place once.

    An example of null is like anything. Where a number with a point is shown, any number will do. `keyed_by_id` are
    paths of objects whose keys are ids.
    """
    if example is None:
        return []
    if not _is_like(found, example):
        return [Difference(path, f"is {_kind(found)}, not {_kind(example)}")]
    inner: list[Difference] = []
    if isinstance(example, dict) and path in keyed_by_id:
        inner = _of_items(list(found.values()), list(example.values()), keyed_by_id, f"{path}{{}}")
    elif isinstance(example, list):
        inner = _of_items(found, example, keyed_by_id, f"{path}[]")
    elif isinstance(example, dict):
        inner = _of_fields(found, example, keyed_by_id, path)
    return list(dict.fromkeys(inner))


def excused(
    found: Collection[Difference], reasons: Mapping[str, str]
) -> tuple[list[Difference], list[str], list[Difference]]:
    """Differences that no reason covers; the reasons that were needed; differences that were expected and are not."""
    covered = {difference.path for difference in found}
    left = [difference for difference in found if difference.path not in reasons]
    needed = [f"{path}: {reason}" for path, reason in reasons.items() if path in covered]
    idle = [Difference(path, "is as in the example: nothing to excuse") for path in reasons if path not in covered]
    return left, needed, idle


def _of_fields(
    found: Mapping[str, Any], example: Mapping[str, Any], keyed_by_id: Collection[str], path: str
) -> list[Difference]:
    inner: list[Difference] = []
    for key, value in example.items():
        place = f"{path}.{key}" if path else key
        if key in found:
            inner += differences(found[key], value, keyed_by_id, place)
        else:
            inner.append(Difference(place, "is missing"))
    return inner


def _of_items(found: list[Any], examples: list[Any], keyed_by_id: Collection[str], path: str) -> list[Difference]:
    if not examples:
        return []
    if not found:
        return [Difference(path, "has nothing in it")]
    return [difference for item in found for difference in differences(item, examples[0], keyed_by_id, path)]


def _is_like(found: Any, example: Any) -> bool:
    if isinstance(found, bool) or isinstance(example, bool):
        return isinstance(found, bool) and isinstance(example, bool)
    if isinstance(example, float):
        return isinstance(found, int | float)
    return isinstance(found, type(example))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    kinds = {dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number"}
    return "null" if value is None else kinds[type(value)]
