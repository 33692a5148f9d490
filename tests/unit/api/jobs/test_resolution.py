from collections.abc import Callable
from typing import Any

import pytest

from fettle_api.jobs.resolution import resolve_dataset, resolve_model
from fettle_schema.dataset import DatasetSource, HubSource
from fettle_schema.errors import InvalidManifestError


def only(*paths: str) -> Callable[[str], bool]:
    return lambda path: path in paths


@pytest.mark.parametrize(
    ("name", "existing", "wanted"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", [], {"id": "Qwen/Qwen2.5-7B-Instruct"}),
        ("gpt2", [], {"id": "gpt2"}),
        ("smollm2", ["models/smollm2"], {"path": "models/smollm2"}),
        ("models/smollm2", ["models/smollm2"], {"path": "models/smollm2"}),
        ("models/a/0123", [], {"path": "models/a/0123"}),
        ("small", [], {"id": "HuggingFaceTB/SmolLM2-135M-Instruct"}),
    ],
)
def test_a_model_is_an_alias_a_directory_or_a_hub_id(name: str, existing: list[str], wanted: dict[str, Any]) -> None:
    aliases = {"small": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    assert resolve_model(name, aliases, only(*existing)) == wanted


@pytest.mark.parametrize("name", ["/models/x", "a/b/c", "a b", "-x", "a/.hidden", "https://example.com/x"])
def test_other_models_are_refused(name: str) -> None:
    with pytest.raises(InvalidManifestError, match=r"spec\.baseModel: .* neither a hub id"):
        resolve_model(name, {}, only())


@pytest.mark.parametrize(
    ("name", "existing", "wanted"),
    [
        (
            "alpaca.jsonl",
            ["datasets/alpaca.jsonl", "uploads/alpaca.jsonl"],
            {"workspace": {"path": "datasets/alpaca.jsonl"}},
        ),
        ("alpaca.jsonl", ["uploads/alpaca.jsonl"], {"workspace": {"path": "uploads/alpaca.jsonl"}}),
        ("alpaca.jsonl", [], {"workspace": {"path": "datasets/alpaca.jsonl"}}),
        ("datasets/a", ["datasets/a"], {"workspace": {"path": "datasets/a"}}),
        ("uploads/a.csv", [], {"workspace": {"path": "uploads/a.csv"}}),
        ("trl-lib/Capybara", [], {"huggingFace": {"id": "trl-lib/Capybara", "split": "train"}}),
        ("datasets/missing", [], {"workspace": {"path": "datasets/missing"}}),
        ("team/data/v1", [], {"workspace": {"path": "datasets/team/data/v1"}}),
        ("ours", [], {"huggingFace": {"id": "acme/ours", "split": "train"}}),
    ],
)
def test_a_dataset_is_looked_up_in_order(name: str, existing: list[str], wanted: dict[str, Any]) -> None:
    assert resolve_dataset(name, {"ours": "acme/ours"}, only(*existing)) == wanted


@pytest.mark.parametrize("name", ["/etc/passwd", "a b.jsonl", "~/x.jsonl", "s3://bucket/x", ".hidden"])
def test_other_datasets_are_refused(name: str) -> None:
    with pytest.raises(InvalidManifestError, match=r"spec\.dataset\.source"):
        resolve_dataset(name, {}, only())


def test_a_file_that_was_uploaded_means_its_dataset() -> None:
    assert resolve_dataset("alpaca.jsonl", {}, only("datasets/alpaca")) == {"workspace": {"path": "datasets/alpaca"}}
    both = only("datasets/alpaca", "datasets/alpaca.jsonl")
    assert resolve_dataset("alpaca.jsonl", {}, both) == {"workspace": {"path": "datasets/alpaca.jsonl"}}
    assert resolve_dataset("a/alpaca.jsonl", {}, only("datasets/alpaca")) == {
        "workspace": {"path": "datasets/a/alpaca.jsonl"}
    }
    for name in (".jsonl", "..jsonl", ".csv"):
        with pytest.raises(InvalidManifestError):
            resolve_dataset(name, {}, lambda _: True)


def test_a_registered_dataset_is_where_it_says() -> None:
    hub = DatasetSource(hugging_face=HubSource(id="acme/data", split="test"))
    registered = {"ours": hub}.get
    for name in ("ours", "datasets/ours"):
        found = resolve_dataset(name, {}, only("datasets/ours"), registered)
        assert found == {"huggingFace": {"id": "acme/data", "split": "test"}}
    assert resolve_dataset("datasets/others", {}, only(), registered) == {"workspace": {"path": "datasets/others"}}
