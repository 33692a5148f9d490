"""What a model or dataset name of a request means. Pure: whoever calls says which paths exist."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from fettle_schema.base import HUB_ID_PATTERN, WORKSPACE_PATH_PATTERN
from fettle_schema.dataset import DatasetSource
from fettle_schema.errors import FieldError, InvalidManifestError
from fettle_schema.layout import DATASETS, MODELS, UPLOADS

Exists = Callable[[str], bool]
Registered = Callable[[str], DatasetSource | None]
"""Where the rows of a registered dataset are; None for any other name."""
_DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".txt")


def resolve_model(name: str, aliases: Mapping[str, str], exists: Exists) -> dict[str, Any]:
    """`spec.baseModel`: a directory below `models/`, else a hub id. Raises InvalidManifestError."""
    wanted = aliases.get(name, name).strip()
    path = _path_below(wanted, (MODELS,), exists)
    if path is not None:
        return {"path": path}
    if re.fullmatch(HUB_ID_PATTERN, wanted):
        return {"id": wanted}
    message = f"{name!r} is neither a hub id (owner/name) nor a directory below {MODELS}/"
    raise InvalidManifestError([FieldError("spec.baseModel", message)])


def resolve_dataset(
    name: str, aliases: Mapping[str, str], exists: Exists, registered: Registered = lambda _: None
) -> dict[str, Any]:
    """`spec.dataset.source`: `datasets/`, then `uploads/`, then a hub id. Raises InvalidManifestError.

    `rows.jsonl` also means the dataset `rows`, which is what an upload of that file became. What does not exist and
    can only be a file of ours is still accepted: the job will say that it is missing.
    """
    wanted = aliases.get(name, name).strip()
    path = _path_below(wanted, (DATASETS,), exists) or _uploaded(wanted, exists)
    path = path or _path_below(wanted, (UPLOADS,), exists)
    if path is not None:
        source = registered(path.removeprefix(f"{DATASETS}/")) if path.startswith(f"{DATASETS}/") else None
        return source.manifest() if source else {"workspace": {"path": path}}
    if re.fullmatch(HUB_ID_PATTERN, wanted) and not wanted.endswith(_DATA_SUFFIXES):
        return {"huggingFace": {"id": wanted, "split": "train"}}
    if re.fullmatch(WORKSPACE_PATH_PATTERN, wanted):
        return {"workspace": {"path": f"{DATASETS}/{wanted}"}}
    message = f"{name!r} is neither a path below {DATASETS}/ or {UPLOADS}/ nor a hub id (owner/name)"
    raise InvalidManifestError([FieldError("spec.dataset.source", message)])


def _uploaded(wanted: str, exists: Exists) -> str | None:
    stem = next((wanted.removesuffix(suffix) for suffix in _DATA_SUFFIXES if wanted.endswith(suffix)), "")
    return _path_below(stem, (DATASETS,), exists) if stem and "/" not in stem else None


def _path_below(wanted: str, directories: tuple[str, ...], exists: Exists) -> str | None:
    """The path that a name surely means: one that says where it lies, or the first that exists."""
    if not re.fullmatch(WORKSPACE_PATH_PATTERN, wanted):
        return None
    if wanted.startswith(tuple(f"{directory}/" for directory in directories)):
        return wanted
    return next((path for directory in directories if exists(path := f"{directory}/{wanted}")), None)
