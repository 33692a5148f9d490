"""Server-side apply in small: which manager owns which field, and what an apply removes. For fakes only.

Lists are atomic, except conditions, ownerReferences and finalizers, which are maps or sets as on an API server.
"""

from collections.abc import Iterator
from typing import Any

from tests.support.json_copy import copy_json

Path = tuple[str, ...]
Owners = dict[str, set[Path]]

_LIST_KEYS = {"conditions": "type", "ownerReferences": "uid", "finalizers": None}


class FieldConflictError(Exception):
    """Another manager owns a field and the apply is not forced."""


class _Keyed(dict[str, Any]):
    """A list whose items have keys, while it is merged."""


def merge_applied(live: dict[str, Any], applied: dict[str, Any], manager: str, owners: Owners, force: bool) -> Any:
    """`live` after the manager applied `applied`; `owners` is updated in place."""
    tree, wanted = _to_tree("", live), _to_tree("", applied)
    leaves = dict(_leaves(wanted))
    changed = {path for path, value in leaves.items() if _get(tree, path) != value}
    others = {path: other for other, paths in owners.items() if other != manager for path in paths}
    if conflicts := sorted(path for path in changed if path in others):
        if not force:
            first = conflicts[0]
            raise FieldConflictError(f"conflict with {others[first]!r}: .{'.'.join(first)}")
        forget(owners, changed, but=manager)
    for path in owners.get(manager, set()) - leaves.keys():
        if path not in others:
            _remove(tree, path)
    for path, value in leaves.items():
        _set(tree, path, copy_json(value), wanted)
    owners[manager] = set(leaves)
    return _from_tree(tree)


def forget(owners: Owners, changed: set[Path], but: str | None = None) -> None:
    """Managers lose the fields that somebody else has changed."""
    for manager, paths in owners.items():
        if manager != but:
            paths -= changed


def changed_fields(before: dict[str, Any], after: dict[str, Any]) -> set[Path]:
    """Paths of the fields that differ."""
    old, new = dict(_leaves(_to_tree("", before))), dict(_leaves(_to_tree("", after)))
    return {path for path in old.keys() | new.keys() if old.get(path, _MISSING) != new.get(path, _MISSING)}


_MISSING = object()


def _to_tree(field: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_tree(name, child) for name, child in value.items()}
    if isinstance(value, list) and field in _LIST_KEYS:
        key = _LIST_KEYS[field]
        return _Keyed({str(item[key] if key else item): _to_tree("", item) for item in value})
    return value


def _from_tree(tree: Any) -> Any:
    if isinstance(tree, _Keyed):
        return [_from_tree(child) for child in tree.values()]
    if isinstance(tree, dict):
        return {name: _from_tree(child) for name, child in tree.items()}
    return tree


def _leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, dict) and (tree or not path):
        for name, child in tree.items():
            yield from _leaves(child, (*path, name))
    else:
        yield path, tree


def _get(tree: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return _MISSING
        tree = tree[name]
    return tree


def _set(tree: dict[str, Any], path: Path, value: Any, like: dict[str, Any]) -> None:
    for name in path[:-1]:
        like = like[name]
        if not isinstance(tree.get(name), dict):
            tree[name] = type(like)()
        tree = tree[name]
    if value == {} and isinstance(tree.get(path[-1]), dict):
        return
    tree[path[-1]] = value


def _remove(tree: dict[str, Any], path: Path) -> None:
    if not isinstance(tree, dict) or path[0] not in tree:
        return
    if len(path) == 1:
        del tree[path[0]]
        return
    _remove(tree[path[0]], path[1:])
    if tree[path[0]] == {}:
        del tree[path[0]]
