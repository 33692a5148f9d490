import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import QueryParams

from fettle_api.dialects.openai.pages import Bounds, PageRequest, cut, page_request
from fettle_api.dialects.openai.translate import (
    STATUS_OF_PHASE,
    Found,
    job_of_tuned_model,
    name_of_id,
    param_of_path,
    request_of_body,
    status_of_job,
    tuned_model_name,
)
from fettle_api.dialects.openai.translate_events import checkpoints_of, events_of
from fettle_api.dialects.openai.translate_files import record_of_form
from fettle_api.dialects.openai.translate_jobs import has_metadata, job_of_view, metadata_of_query
from fettle_api.dialects.openai.wire import RequestError, parse_job
from fettle_api.resources.models import CheckpointView, JobLog
from fettle_api.web.idempotency import Identity
from fettle_schema.run import ProgressEvent
from fettle_schema.vocabulary import Phase
from tests.support.job_views import job_view

GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text())
IDENTITY = Identity("0123456789abcdef" + "0" * 48, "digest")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("golden", GOLDENS["requests"], ids=lambda golden: golden["name"])
def test_a_body_becomes_a_request(golden: dict[str, Any]) -> None:
    body = parse_job(golden["body"])
    found = {"base_model": body.model, **golden.get("found", {})}
    request = request_of_body(body, IDENTITY, Found(**{**found, "columns": frozenset(found.get("columns", ()))}))
    assert (request.name, request.original_id) == ("ftjob-0123456789abcdef",) * 2
    assert (request.dialect, request.request_digest, dict(request.secrets)) == ("openai", "digest", {})
    assert {
        "base_model": request.base_model,
        "spec": request.spec,
        "run_name": request.run_name,
        "metadata": request.metadata,
    } == golden["request"]


@pytest.mark.parametrize("golden", GOLDENS["jobs"], ids=lambda golden: golden["name"])
def test_a_job_made_anywhere_becomes_a_fine_tuning_job(golden: dict[str, Any]) -> None:
    view = job_view(golden.get("spec"), golden.get("status"), **golden.get("annotations", {}))
    answer = job_of_view(view, "team", golden.get("final_metrics", {}))
    assert {name: answer[name] for name in golden["answer"]} == golden["answer"]
    assert answer.keys() == job_of_view(job_view(), "team", {}).keys()


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_word(phase: Phase) -> None:
    assert status_of_job(job_view(status={"phase": phase})) == STATUS_OF_PHASE[phase]


def test_what_was_asked_for_shows_at_once() -> None:
    running = {"phase": "Running"}
    assert status_of_job(job_view({"cancel": True}, running)) == "cancelled"
    assert status_of_job(job_view({"suspend": True}, running)) == "queued"
    assert status_of_job(job_view({"suspend": True, "cancel": True}, {"phase": "Succeeded"})) == "succeeded"


def test_a_request_that_was_changed_by_hand_is_no_harm() -> None:
    view = job_view(name="ftjob-1", dialect="openai", request='{"model": 7, "hyperparameters": "x"}')
    assert job_of_view(view, "team", {})["model"] == "a/b"
    assert job_of_view(view, "team", {})["hyperparameters"]["batch_size"] == 4


@pytest.mark.parametrize("job_id", ["", "A", "a_b", "1a", "a" * 53, "a/b", "..", "a\n"])
def test_what_can_be_no_id(job_id: str) -> None:
    assert name_of_id(job_id) is None


@pytest.mark.parametrize("base", ["gpt-4o-mini", "a/b", "models/x/0123"])
@pytest.mark.parametrize("suffix", [None, "plain", "with: colons"])
def test_a_tuned_models_name_leads_back_to_its_job(base: str, suffix: str | None) -> None:
    name = tuned_model_name(base, suffix, "ftjob-0123456789abcdef")
    assert job_of_tuned_model(name) == "ftjob-0123456789abcdef"
    assert job_of_tuned_model(name.removeprefix("ft:")) is None
    assert job_of_tuned_model(f"{name}:ckpt-step-3") is None


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("spec.baseModel.id", "model"),
        ("spec.dataset.source", "training_file"),
        ("spec.dataset.evaluation.source.workspace.path", "validation_file"),
        ("spec.hyperparameters.seed", "seed"),
        ("spec.tracking.wandb.project", "integrations"),
        ("metadata.name", None),
    ],
)
def test_findings_point_at_the_requests_fields(path: str, param: str | None) -> None:
    assert param_of_path(path) == param


def test_cursors() -> None:
    items = [str(number) for number in range(5)]
    assert cut(items, PageRequest(2), str) == (["0", "1"], True)
    assert cut(items, PageRequest(2, "2"), str) == (["3", "4"], False)
    assert cut(items, PageRequest(2, "4"), str) == ([], False)
    with pytest.raises(RequestError, match="'after'"):
        cut(items, PageRequest(2, "9"), str)


@pytest.mark.parametrize("limit", ["0", "-1", "101", "x", "1.5", "９", "1" * 30])
def test_limits_that_are_none(limit: str) -> None:
    with pytest.raises(RequestError, match="'limit'"):
        page_request(QueryParams({"limit": limit}), Bounds(20, 100))


def test_metadata_filters() -> None:
    assert metadata_of_query(QueryParams("metadata[a]=1&metadata[b]=&limit=3")) == {"a": "1", "b": ""}
    assert metadata_of_query(QueryParams("metadata=null")) is None
    assert metadata_of_query(QueryParams("")) == {}
    tagged = job_view(metadata='{"a": "1", "b": ""}')
    assert has_metadata(tagged, {"b": ""})
    assert not has_metadata(tagged, {"c": ""})
    assert not has_metadata(tagged, None)
    assert has_metadata(job_view(), None)
    assert has_metadata(job_view(), {})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "other"}, "purpose"),
        ({"purpose": "fine-tune", "expires_after[anchor]": "now"}, "expires_after.anchor"),
        ({"purpose": "fine-tune", "expires_after[seconds]": "3600"}, "expires_after.anchor"),
        (
            {"purpose": "fine-tune", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"},
            "expires_after.seconds",
        ),
        ({"purpose": "fine-tune", "expires_after[anchor]": "created_at"}, "expires_after.seconds"),
    ],
)
def test_forms_that_are_refused(fields: dict[str, str], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        record_of_form(fields, "a.jsonl", NOW)
    assert refused.value.param == param


def report(step: int, **numbers: Any) -> ProgressEvent:
    return ProgressEvent.model_validate({"time": f"2026-01-01T12:00:{step:02}Z", "attempt": 1, "step": step, **numbers})


def test_events_keep_their_ids_when_more_come() -> None:
    reports = [report(step, loss=1.0) for step in range(1, 6)]
    whole = {
        event["message"]: event["id"] for event in events_of(JobLog(job_view(), events=tuple(reports), event_count=5))
    }
    tail = {
        event["message"]: event["id"]
        for event in events_of(JobLog(job_view(), events=tuple(reports[3:]), event_count=5))
    }
    assert tail.items() <= whole.items()
    assert len(set(whole.values())) == 6


def test_the_end_comes_after_the_steps_of_its_second() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "Stopped", "lastTransitionTime": "2026-01-01T12:00:03Z"}
    view = job_view(status={"phase": "Cancelled", "conditions": [condition]})
    last = report(3, loss=float("nan")).model_copy(update={"time": datetime(2026, 1, 1, 12, 0, 3, 500_000, UTC)})
    found = events_of(JobLog(view, events=(last,), event_count=1))
    assert [event["message"] for event in found] == ["The job was cancelled", "Step 3", "Created fine-tuning job: demo"]


def test_checkpoints_show_what_was_measured_until_then() -> None:
    events = (report(1, loss=3.0), report(2, loss=2.0), report(2, eval_loss=2.5), report(3, loss=1.0))
    found = checkpoints_of(
        [CheckpointView("checkpoint-3", 3, "x"), CheckpointView("checkpoint-2", 2, "x")],
        JobLog(job_view(), events=events, event_count=4),
    )
    assert [(one["step_number"], one["metrics"]["train_loss"], one["metrics"]["valid_loss"]) for one in found] == [
        (3, 1.0, 2.5),
        (2, 2.0, 2.5),
    ]
