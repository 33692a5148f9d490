"""What `dataset_version` means: `v1.0`, or `template:source:v1.0`. Pure."""

import re
from collections.abc import Sequence
from typing import Any

from fettle_api.datasets.views import DatasetView, VersionView
from fettle_schema.base import HUB_ID_PATTERN
from fettle_schema.stored_dataset import DATASET_NAME_PATTERN, dataset_directory, dataset_name

Source = dict[str, Any]
"""`spec.dataset.source`."""


def source_of_version(text: str, datasets: Sequence[DatasetView]) -> Source:
    """The rows that are meant. `datasets` has the newest first.

    `v1.0` is the newest dataset that has such a version; `v1` and `v1.0` are the same. What nobody has added is a
    path that does not exist: the job will say so.
    """
    *named, version = text.split(":")
    if not named:
        return _of_bare_version(version, datasets)
    for name in _names(named):
        dataset = next((known for known in datasets if known.name == name), None)
        if dataset is not None and dataset.source is not None:
            return dataset.source.manifest()
        found = _version(dataset, version) if dataset is not None else None
        if dataset is not None and found is not None:
            return _workspace(dataset.path, found.name)
    return _workspace(dataset_directory(dataset_name(named[-1])), version)


def _of_bare_version(text: str, datasets: Sequence[DatasetView]) -> Source:
    holders = [(dataset, found) for dataset in datasets if (found := _version(dataset, text)) is not None]
    if holders:
        dataset, found = max(holders, key=lambda pair: pair[1].created_at)
        return _workspace(dataset.path, found.name)
    dataset_of_name = next((known for known in datasets if known.name in (text, dataset_name(text))), None)
    if dataset_of_name is not None and dataset_of_name.source is not None:
        return dataset_of_name.source.manifest()
    if "/" in text and re.fullmatch(HUB_ID_PATTERN, text):
        return {"huggingFace": {"id": text, "split": "train"}}
    return _workspace(dataset_directory(dataset_name(text)), None)


def _names(parts: list[str]) -> list[str]:
    """Directories that `template:source` may be, the most telling first."""
    return [dataset_name(":".join(parts)), dataset_name("-".join(parts)), dataset_name(parts[-1])]


def _version(dataset: DatasetView, text: str) -> VersionView | None:
    exact = next((known for known in dataset.versions if known.name == text), None)
    return exact or next((known for known in dataset.versions if known.name and _same(known.name, text)), None)


def _same(name: str, text: str) -> bool:
    return bool(name) and _short(name) == _short(text)


def _short(version: str) -> str:
    return version.removesuffix(".0")


def _workspace(path: str, version: str | None) -> Source:
    source: Source = {"path": path}
    if version and re.fullmatch(DATASET_NAME_PATTERN, version):
        source["version"] = version
    return {"workspace": source}
