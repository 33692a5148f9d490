"""Server-side apply: which manager owns which fields, and what an apply adds, changes and removes. Pure.

A field path is a tuple of keys; an item of a list that is a map by one of its fields is the key `[type=Accepted]`.
Lists that are no such map are atomic: one manager owns the whole.
"""

from copy import deepcopy
from typing import Any

FieldPath = tuple[str, ...]
Owners = dict[str, set[FieldPath]]

LIST_MAP_KEYS = {"conditions": "type", "env": "name"}
"""Lists that are maps, by the name of their field, and the field of an item that is its key."""


def apply_fields(
    current: dict[str, Any], applied: dict[str, Any], owners: Owners, manager: str
) -> tuple[dict[str, Any], Owners]:
    """The object after `manager` applied `applied`, and who owns what then.

    Fields that the manager owned, alone, and no longer names vanish. Null means: not named.
    """
    wanted = _without_nulls(applied)
    named = leaves(wanted)
    others = {name: fields for name, fields in owners.items() if name != manager}
    held = set().union(*others.values()) if others else set()
    result = deepcopy(current)
    for path in owners.get(manager, set()) - named - held:
        _remove(result, path)
    _merge(result, wanted)
    after = {name: {path for path in fields if not _overlaps(path, named)} for name, fields in others.items()}
    after[manager] = named
    return result, {name: fields for name, fields in after.items() if fields}


def conflicts(current: dict[str, Any], applied: dict[str, Any], owners: Owners, manager: str) -> list[tuple[str, str]]:
    """Fields that an apply would change and another manager owns: pairs of field and manager."""
    found = []
    for path in sorted(leaves(_without_nulls(applied))):
        holders = [name for name, fields in owners.items() if name != manager and path in fields]
        if holders and _value(current, path) != _value(applied, path):
            found.append((dotted(path), holders[0]))
    return found


def leaves(value: dict[str, Any], prefix: FieldPath = ()) -> set[FieldPath]:
    """Paths of all fields that hold a value; an empty object is one."""
    paths: set[FieldPath] = set()
    for name, item in value.items():
        path = (*prefix, name)
        if isinstance(item, dict) and item:
            paths |= leaves(item, path)
        elif _is_list_map(name, item):
            for entry in item:
                paths |= leaves(entry, (*path, _entry_key(name, entry)))
        else:
            paths.add(path)
    return paths


def dotted(path: FieldPath) -> str:
    """The path as a message shows it: `spec.adapter.rank`, `status.conditions[type=Accepted].reason`."""
    return ".".join(path).replace(".[", "[")


def _is_list_map(name: str, value: Any) -> bool:
    key = LIST_MAP_KEYS.get(name)
    return bool(
        key and isinstance(value, list) and value and all(isinstance(item, dict) and key in item for item in value)
    )


def _entry_key(name: str, entry: dict[str, Any]) -> str:
    key = LIST_MAP_KEYS[name]
    return f"[{key}={entry[key]}]"


def _overlaps(path: FieldPath, named: set[FieldPath]) -> bool:
    return any(path[: len(other)] == other or other[: len(path)] == path for other in named)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return value


def _find_entry(name: str, items: list[Any], key: str) -> dict[str, Any] | None:
    return next((item for item in items if isinstance(item, dict) and _entry_key(name, item) == key), None)


def _merge(target: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, item in wanted.items():
        present = target.get(name)
        if isinstance(item, dict) and item and isinstance(present, dict):
            _merge(present, item)
        elif _is_list_map(name, item) and _is_list_map(name, present):
            _merge_entries(name, present, item)  # type: ignore[arg-type]
        else:
            target[name] = deepcopy(item)


def _merge_entries(name: str, present: list[Any], wanted: list[Any]) -> None:
    for entry in wanted:
        old = _find_entry(name, present, _entry_key(name, entry))
        if old is None:
            present.append(deepcopy(entry))
        else:
            _merge(old, entry)


def _remove(target: dict[str, Any], path: FieldPath) -> None:
    """Remove one field, and the objects and list items above it that this leaves empty."""
    name, rest = path[0], path[1:]
    if not rest:
        target.pop(name, None)
        return
    below = target.get(name)
    if isinstance(below, list):
        entry = _find_entry(name, below, rest[0])
        if entry is not None:
            _remove(entry, rest[1:])
            if not entry or LIST_MAP_KEYS[name] not in entry:
                below.remove(entry)
    elif isinstance(below, dict):
        _remove(below, rest)
    if name in target and not target[name] and below is not None:
        del target[name]


def _value(target: Any, path: FieldPath) -> Any:
    for position, name in enumerate(path):
        if isinstance(target, list):
            target = _find_entry(path[position - 1], target, name)
        elif isinstance(target, dict):
            target = target.get(name)
        else:
            return None
    return target
