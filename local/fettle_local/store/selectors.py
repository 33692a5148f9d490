"""Label and field selectors, as kubectl writes them. Pure."""

import re
from collections.abc import Callable

from fettle_client.protocol import InvalidError, Manifest
from fettle_local.store.kinds import StoredKind

Matcher = Callable[[Manifest], bool]

_SET = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<operator>in|notin)\s+\((?P<values>[^()]*)\)$")
_EQUALITY = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<operator>==|!=|=)\s*(?P<value>[^\s!=,()]*)$")
_PRESENCE = re.compile(r"^(?P<negation>!?)\s*(?P<key>[^\s!=,()]+)$")


def matcher(stored: StoredKind, label_selector: str | None, field_selector: str | None) -> Matcher:
    """Whether a manifest is selected. Raises InvalidError for a selector that cannot be read."""
    tests = [_label_test(term) for term in _terms(label_selector)]
    tests += [_field_test(term, stored) for term in _terms(field_selector)]
    return lambda manifest: all(test(manifest) for test in tests)


def _terms(selector: str | None) -> list[str]:
    if not selector:
        return []
    return [term.strip() for term in re.split(r",(?![^(]*\))", selector) if term.strip()]


def _label_test(term: str) -> Matcher:
    if match := _SET.match(term):
        values = {value.strip() for value in match["values"].split(",")}
        return _membership(match["key"], values, wanted=match["operator"] == "in")
    if match := _EQUALITY.match(term):
        return _membership(match["key"], {match["value"]}, wanted=match["operator"] != "!=")
    if match := _PRESENCE.match(term):
        key, wanted = match["key"], not match["negation"]
        return lambda manifest: (key in _labels(manifest)) is wanted
    raise InvalidError(400, "BadRequest", f"label selector {term!r} cannot be read; write key=value or key in (a,b)")


def _membership(key: str, values: set[str], wanted: bool) -> Matcher:
    return lambda manifest: (_labels(manifest).get(key) in values) is wanted


def _labels(manifest: Manifest) -> dict[str, str]:
    labels: dict[str, str] = manifest["metadata"].get("labels") or {}
    return labels


def _field_test(term: str, stored: StoredKind) -> Matcher:
    match = _EQUALITY.match(term)
    if match is None or match["key"] not in stored.all_selectable_fields:
        allowed = ", ".join(sorted(stored.all_selectable_fields))
        raise InvalidError(400, "BadRequest", f"field selector {term!r} is not supported; fields: {allowed}")
    path, value, wanted = match["key"].split("."), match["value"], match["operator"] != "!="
    return lambda manifest: (_field(manifest, path) == value) is wanted


def _field(manifest: Manifest, path: list[str]) -> str:
    value: object = manifest
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else str(value)
