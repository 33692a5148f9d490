"""Label and field selectors, as the API server reads them. For fakes only."""

import re
from collections.abc import Callable, Mapping
from typing import Any

_SET = re.compile(r"(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^!=\s]+)\s*(?P<operator>!=|==|=)\s*(?P<value>.*)")


def matches(manifest: Mapping[str, Any], label_selector: str | None, field_selector: str | None) -> bool:
    """Whether both selectors choose the manifest; an empty selector chooses everything."""
    labels = (manifest.get("metadata") or {}).get("labels") or {}
    return all(_holds(term, labels.get) for term in _terms(label_selector)) and all(
        _holds(term, lambda path: _field(manifest, path)) for term in _terms(field_selector)
    )


def _terms(selector: str | None) -> list[str]:
    return [term.strip() for term in re.split(r",(?![^(]*\))", selector or "") if term.strip()]


def _holds(term: str, value_of: Callable[[str], str | None]) -> bool:
    if found := _SET.fullmatch(term):
        chosen = value_of(found["key"]) in [value.strip() for value in found["values"].split(",")]
        return chosen if found["operator"] == "in" else not chosen
    if found := _EQUALITY.fullmatch(term):
        equal = value_of(found["key"]) == found["value"].strip()
        return not equal if found["operator"] == "!=" else equal
    if term.startswith("!"):
        return value_of(term[1:].strip()) is None
    return value_of(term) is not None


def _field(manifest: Mapping[str, Any], path: str) -> str:
    value: Any = manifest
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)
