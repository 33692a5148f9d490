"""Manifests as text are read as kubectl reads them."""

import pytest
import yaml

from fettle_schema.errors import InvalidManifestError
from fettle_schema.manifests import dump_manifest, load_manifests


@pytest.mark.parametrize(
    ("text", "value"),
    [("2e-4", 2e-4), ("1E5", 1e5), (".5", 0.5), ("1.", 1.0), ("-3e2", -300.0), ("12", 12), ('"2e-4"', "2e-4")],
)
def test_numbers_are_read_as_kubectl_reads_them(text: str, value: object) -> None:
    assert load_manifests(f"kind: A\nvalue: {text}") == [{"kind": "A", "value": value}]


def test_dates_stay_text() -> None:
    assert load_manifests("kind: A\nvalue: 2026-01-01")[0]["value"] == "2026-01-01"


def test_all_documents_and_the_items_of_lists_are_found() -> None:
    text = "kind: A\n---\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n"
    assert [manifest["kind"] for manifest in load_manifests(text)] == ["A", "B", "C"]


def test_broken_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidManifestError, match="line 2"):
        load_manifests("kind: A\n  b: [\n")


def test_a_document_that_is_no_manifest_is_refused_by_its_number() -> None:
    with pytest.raises(InvalidManifestError, match="document 2"):
        load_manifests("kind: A\n---\n- just\n- a list\n")


def test_a_dumped_manifest_is_read_back_the_same() -> None:
    manifest = {"kind": "A", "text": "2e-4", "number": 2e-4, "lines": "a\nb\n", "list": [{"x": 1}], "yes": "on"}
    assert load_manifests(dump_manifest(manifest)) == [manifest]


def test_a_dumped_manifest_reads_the_same_in_yaml_1_1() -> None:
    manifest = {"kind": "A", "text": "2e-4", "yes": "on"}
    assert yaml.safe_load(dump_manifest(manifest)) == manifest


def test_shared_values_are_written_out_without_anchors() -> None:
    shared = ["a"]
    assert "&" not in dump_manifest({"kind": "A", "one": shared, "two": shared})
