from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_api.resources.models import OllamaModel
from fettle_api.resources.views import view_job

COARSE = "2026-01-01T12:00:00Z"


def manifest(**annotations: str) -> dict[str, Any]:
    known = {f"fettle.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    metadata = {"name": "demo", "uid": "u", "creationTimestamp": COARSE, "annotations": known}
    return {"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}}}


@pytest.mark.parametrize(
    ("annotation", "wanted"),
    [
        ("2026-01-01T12:00:00.250000+00:00", datetime(2026, 1, 1, 12, 0, 0, 250000, UTC)),
        ("2036-01-01T12:00:00+00:00", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("yesterday", datetime(2026, 1, 1, 12, tzinfo=UTC)),
    ],
)
def test_the_fine_time_counts_if_it_can_be_true(annotation: str, wanted: datetime) -> None:
    assert view_job(manifest(created_at=annotation)).created_at == wanted


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000])
def test_a_request_that_cannot_be_read_is_none(text: str) -> None:
    assert view_job(manifest(request=text)).request is None


def test_its_name_in_ollama() -> None:
    note = '{"name": "mine", "importedAt": "2026-01-01T12:00:00+00:00"}'
    assert view_job(manifest(ollama=note)).ollama == OllamaModel("mine", datetime(2026, 1, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": 5}', '{"name": "mine", "importedAt": "x"}'])
def test_a_note_that_somebody_broke_is_none(text: str) -> None:
    assert view_job(manifest(ollama=text)).ollama is None


def test_a_job_without_a_status_is_pending() -> None:
    view = view_job(manifest())
    assert view.phase == "Pending"
    assert not view.is_finished


@pytest.mark.parametrize(
    ("text", "pairs"), [('{"a": "b", "c": 1}', {"a": "b"}), ("{}", {}), ("[1]", None), ("{", None), ("", None)]
)
def test_pairs_that_were_attached(text: str, pairs: dict[str, str] | None) -> None:
    assert view_job(manifest(metadata=text)).metadata == pairs
