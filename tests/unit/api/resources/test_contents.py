import gc
from typing import Any

import pytest
from pydantic import ValidationError

from fettle_api.resources.contents import pack, read_object
from fettle_api.resources.models import JobView
from tests.support.job_views import job_view

SPEC: dict[str, Any] = {"baseModel": {"id": "a/b"}, "hyperparameters": {"learningRate": 1e-4}}


def test_what_was_packed_is_read_again() -> None:
    packed = pack(SPEC, {"phase": "Running", "message": "schön", "startTime": "2026-01-01T12:00:00Z"})
    assert packed.spec.hyperparameters.learning_rate == 1e-4
    assert packed.status.message == "schön"
    assert packed.status.start_time is not None
    assert packed == pack(SPEC, {"phase": "Running", "message": "schön", "startTime": "2026-01-01T12:00:00Z"})


@pytest.mark.parametrize(("spec", "status"), [({}, {}), (SPEC, {"phase": "Dreaming"}), ({**SPEC, "x": 1}, {})])
def test_what_the_crd_would_not_have_let_in_is_refused_when_it_is_packed(
    spec: dict[str, Any], status: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        pack(spec, status)


def test_null_means_the_default() -> None:
    assert pack({**SPEC, "suspend": None}, {"conditions": None}).status.conditions == []


def test_thousands_of_jobs_are_no_work_for_the_garbage_collector() -> None:
    def view(number: int) -> JobView:
        condition = {"type": "Complete", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T12:00:00Z"}
        status = {"phase": "Succeeded", "conditions": [condition], "progress": {"step": number}}
        return job_view({"hyperparameters": {"seed": number}}, status, name=f"j{number}", request='{"a": 1}')

    held = [view(number) for number in range(2500)]
    gc.collect()
    before = len(gc.get_objects())
    held += [view(number) for number in range(2500, 3500)]
    gc.collect()
    assert len(gc.get_objects()) - before < 10 * 1000
    assert held[0].status.progress is not None
    assert held[0].status.progress.step == 0


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "[" * 100_000])
def test_an_annotation_that_holds_no_object_is_none(text: str | None) -> None:
    assert read_object(text) is None
