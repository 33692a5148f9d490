from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_api.datasets.views import DatasetView, VersionView
from fettle_api.dialects.cluster.dataset_versions import source_of_version
from fettle_schema.dataset import DatasetSource, HubSource
from fettle_schema.stored_dataset import DatasetDescription, dataset_name


def dataset(name: str, *versions: tuple[str, int]) -> DatasetView:
    views = tuple(VersionView(version, (), datetime(2026, 1, day, tzinfo=UTC)) for version, day in versions)
    return DatasetView(name, f"datasets/{name}", views)


def registered(name: str) -> DatasetView:
    source = DatasetSource(hugging_face=HubSource(id="acme/rows"))
    return DatasetView(name, f"datasets/{name}", (), DatasetDescription(name=name, source=source))


NEWS = dataset("news", ("v1.0", 1), ("v1.1", 5))
CHAT = dataset("chat", ("v1", 3), ("v2", 4))
TITLED = dataset(dataset_name("sharegpt:talk"), ("v1.0", 2))


@pytest.mark.parametrize(
    ("text", "datasets", "source"),
    [
        ("v1.0", [NEWS], {"workspace": {"path": "datasets/news", "version": "v1.0"}}),
        ("v1.1", [CHAT, NEWS], {"workspace": {"path": "datasets/news", "version": "v1.1"}}),
        ("v1.0", [CHAT, NEWS], {"workspace": {"path": "datasets/chat", "version": "v1"}}),
        ("v2.0", [CHAT, NEWS], {"workspace": {"path": "datasets/chat", "version": "v2"}}),
        ("alpaca:news:v1.0", [CHAT, NEWS], {"workspace": {"path": "datasets/news", "version": "v1.0"}}),
        ("news:v1.1", [CHAT, NEWS], {"workspace": {"path": "datasets/news", "version": "v1.1"}}),
        ("sharegpt:talk:v1.0", [TITLED], {"workspace": {"path": TITLED.path, "version": "v1.0"}}),
        ("x:hub:v1.0", [registered("hub")], {"huggingFace": {"id": "acme/rows", "split": "train"}}),
        ("hub", [registered("hub")], {"huggingFace": {"id": "acme/rows", "split": "train"}}),
        ("chat", [CHAT], {"workspace": {"path": "datasets/chat"}}),
        ("acme/data", [CHAT], {"huggingFace": {"id": "acme/data", "split": "train"}}),
        ("v9.0", [CHAT], {"workspace": {"path": "datasets/v9.0"}}),
        ("x:nobody:v1.0", [CHAT], {"workspace": {"path": "datasets/nobody", "version": "v1.0"}}),
        ("x:news:v9.0", [NEWS], {"workspace": {"path": "datasets/news", "version": "v9.0"}}),
    ],
)
def test_what_a_version_means(text: str, datasets: list[DatasetView], source: dict[str, Any]) -> None:
    assert source_of_version(text, datasets) == source


@pytest.mark.parametrize("text", ["::", "a::b", ":v1", "../x", "a/../b:v1", "ü:ö:v1", " : "])
def test_whatever_is_written_is_a_path_of_the_workspace(text: str) -> None:
    source = source_of_version(text, [])
    assert ".." not in source["workspace"]["path"]
    assert source["workspace"]["path"].startswith("datasets/")
    assert source["workspace"]["path"].count("/") == 1
