"""Datasets on the hub: read from the cache without a network, and refused with the field that is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fettle_data.findings import DatasetError, FindingCode
from fettle_data.rows import Row
from fettle_data.source import open_rows
from fettle_schema.dataset import DatasetSource

FIELD = "spec.dataset.source.huggingFace"
HUB = DatasetSource.model_validate({"huggingFace": {"id": "trl-lib/Capybara", "split": "test", "revision": "abc"}})


class FakeHub:
    """Stands in for the package `datasets`."""

    def __init__(self, answer: Exception | list[dict[str, object]]) -> None:
        self.answer = answer
        self.asked: tuple[object, ...] = ()

    def load_dataset(self, *arguments: object, **named: object) -> list[dict[str, object]]:
        self.asked = (*arguments, *named.values())
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class DatasetNotFoundError(FileNotFoundError):
    """As the package names it."""


def test_hub_dataset_gives_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub([{"text": "a"}])
    monkeypatch.setitem(sys.modules, "datasets", hub)
    assert list(open_rows(HUB, tmp_path)) == [Row(1, "trl-lib/Capybara row 1", {"text": "a"})]
    assert hub.asked == ("trl-lib/Capybara", None, "test", "abc")


@pytest.mark.parametrize(
    ("error", "field", "hint"),
    [
        (ValueError("Unknown split \"x\". Should be one of ['train']."), "split", "one of the splits"),
        (ValueError("Config name is missing.\nPlease pick one among: ['en', 'de']"), "config", "one of those"),
        (ValueError("BuilderConfig 'fr' not found. Available: ['en', 'de']"), "config", "one of those"),
        (ValueError("Revision 'abc' doesn't exist for dataset 'x'"), "revision", "branch, tag or commit"),
        (
            DatasetNotFoundError("Dataset 'x' is a gated dataset on the Hub. You must be authenticated"),
            "id",
            "HF_TOKEN",
        ),
        (DatasetNotFoundError("Dataset 'x' doesn't exist on the Hub or cannot be accessed."), "id", "HF_TOKEN"),
    ],
)
def test_hub_dataset_that_is_refused_names_the_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, field: str, hint: str
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", FakeHub(error))
    with pytest.raises(DatasetError) as caught:
        open_rows(HUB, tmp_path)
    assert caught.value.code == FindingCode.HUB_REFUSED
    assert str(caught.value).startswith(f"{FIELD}.{field}: the dataset 'trl-lib/Capybara'")
    assert " ".join(str(error).splitlines()) in str(caught.value)
    assert hint in caught.value.hint


def test_hub_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", FakeHub(ConnectionError("Couldn't reach 'x' (split)")))
    with pytest.raises(DatasetError, match="Couldn't reach") as caught:
        open_rows(HUB, tmp_path)
    assert caught.value.code == FindingCode.UNREACHABLE
    assert "workspace" in caught.value.hint


def test_hub_dataset_without_the_package_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DatasetError, match="'datasets' is not installed"):
        open_rows(HUB, tmp_path)


# The package reads a directory of the dataset's name as it reads the hub, and leaves its result in the cache.
_SCRIPT = """
import json, pathlib, sys
from fettle_data.findings import DatasetError
from fettle_data.source import open_rows
from fettle_schema.dataset import DatasetSource

def read(id, config=None, split="train"):
    source = DatasetSource.model_validate({"huggingFace": {"id": id, "config": config, "split": split}})
    try:
        return [row.values for row in open_rows(source, pathlib.Path("."))]
    except DatasetError as error:
        return [str(error.code), str(error)]

home = pathlib.Path("home/datasets")
direct = [read("org/plain"), read("org/several", "de"), read("org/several")]
pathlib.Path("org").rename("gone")
for name in ("plain", "several"):
    (home / name).rename(home / f"org___{name}")
cached = [read("org/plain"), read("org/several", "de"), read("org/several", "fr"), read("org/plain", split="x")]
print(json.dumps([direct, cached, read("org/none")]))
"""


@pytest.mark.trainer
def test_dataset_in_the_cache_needs_no_network(tmp_path: Path) -> None:
    for directory, text in (("plain", "a"), ("several/en", "b"), ("several/de", "c")):
        path = tmp_path / "org" / directory / "train.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"text": text}))
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/train.jsonl\n" for name in ("en", "de"))
    (tmp_path / "org/several/README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    offline = {"HF_HOME": "home", "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=tmp_path,
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    direct, cached, unknown = json.loads(result.stdout)
    assert direct[:2] == cached[:2] == [[{"text": "a"}], [{"text": "c"}]]
    assert direct[2][0] == cached[2][0] == cached[3][0] == "HubRefused"
    assert f"{FIELD}.config: " in direct[2][1]
    assert "['en', 'de']" in direct[2][1]
    assert f"{FIELD}.config: " in cached[2][1]
    assert f"{FIELD}.split: " in cached[3][1]
    assert unknown[0] == "HubUnreachable"
