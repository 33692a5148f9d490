import re

import pytest

from fettle_schema.stored_dataset import (
    DATASET_NAME_PATTERN,
    content_digest,
    dataset_directory,
    dataset_name,
    newest_number,
    next_version,
    version_order,
)


@pytest.mark.parametrize("name", ["rows", "My_Rows-1.2", "0a", "x" * 63])
def test_a_name_that_can_be_a_directory_is_kept(name: str) -> None:
    assert dataset_name(name) == name


@pytest.mark.parametrize(
    "text", ["My rows", "org/name", "../../etc", "a..b", ".hidden", "ü", "", "x" * 300, "-a", "a\0b", "日本"]
)
def test_other_names_become_one(text: str) -> None:
    name = dataset_name(text)
    assert re.fullmatch(DATASET_NAME_PATTERN, name)
    assert ".." not in name
    assert re.search("-[0-9a-f]{6}$", name)


def test_different_texts_have_different_names() -> None:
    assert len({dataset_name(text) for text in ("a b", "a-b", "a/b", "a  b")}) == 4


@pytest.mark.parametrize(
    ("names", "version"),
    [([], "v1"), (["v1"], "v2"), (["v9", "v10", "v2"], "v11"), (["v1.0", "x", "v0", "v01", ".adding-v7"], "v1")],
)
def test_the_next_version(names: list[str], version: str) -> None:
    assert next_version(names) == version
    assert f"v{newest_number(names) + 1}" == version


def test_versions_are_ordered_by_their_numbers() -> None:
    assert sorted(["v10", "v2", "v1.10", "v1.9"], key=version_order) == ["v1.9", "v1.10", "v2", "v10"]


def test_a_directory() -> None:
    assert dataset_directory("rows") == "datasets/rows"
    assert dataset_directory("rows", "v1") == "datasets/rows/v1"


def test_the_digest_knows_paths_and_contents_and_no_order() -> None:
    assert content_digest([("a", b"1"), ("b", b"2")]) == content_digest([("b", b"2"), ("a", b"1")])
    assert len({content_digest(files) for files in ([("a", b"1")], [("b", b"1")], [("a", b"2")], [])}) == 4
