"""Names of children and slugs of free text."""

import re

import pytest

from fettle_schema.base import LABEL_NAME_PATTERN
from fettle_schema.names import attempt_name, job_directory, service_name, slug

UID = "1a2b3c4d-0000-4000-8000-000000000000"


def test_children_of_the_longest_job_name_fit_into_a_label() -> None:
    assert len(attempt_name("a" * 52, 9_999_999)) <= 63
    assert service_name(UID, 2) == "tj-1a2b3c4d-a2"
    assert job_directory("demo", UID) == "jobs/demo-1a2b3c4d"


@pytest.mark.parametrize("text", ["demo", "a-b-c", "a1"])
def test_a_name_is_its_own_slug(text: str) -> None:
    assert slug(text) == text


@pytest.mark.parametrize("text", ["My Model", "9lives", "ünïcode", "", "---", "a" * 80, "UPPER", "a_b", "a.b", "x-"])
def test_a_slug_is_a_name(text: str) -> None:
    assert re.fullmatch(LABEL_NAME_PATTERN, slug(text))
    assert len(slug(text)) <= 52


def test_texts_that_clean_to_the_same_name_keep_apart() -> None:
    assert slug("My Model") != slug("my model")
