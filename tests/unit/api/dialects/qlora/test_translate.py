import json
from pathlib import Path
from typing import Any

import pytest

from fettle_api.dialects.qlora.translate import (
    adapter_resource,
    finding_of,
    job_of_view,
    lora_config_of,
    request_of_start,
    status_of_job,
    training_config_of,
)
from fettle_api.dialects.qlora.wire import StartRequest, check_start, parse_start
from fettle_api.web.idempotency import Identity
from fettle_schema.errors import FieldError, InvalidManifestError
from tests.support.job_views import job_view

GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text())
IDENTITY = Identity("0123456789ab0def0123456789abcdef" + "0" * 32, "digest")
OURS = frozenset({"ours"})


def parsed(body: dict[str, Any]) -> StartRequest:
    return parse_start(body, *check_start(body))


@pytest.mark.parametrize("golden", GOLDENS["requests"], ids=lambda golden: golden["name"])
def test_a_request_becomes_a_training_job(golden: dict[str, Any]) -> None:
    start = parsed(golden["body"])
    request = request_of_start(start, IDENTITY, OURS)
    assert start.train_texts == golden["texts"]
    assert request.original_id == "01234567-89ab-4def-8123-456789abcdef"
    assert request.name == f"j{request.original_id}"
    assert (request.request_digest, request.secrets, request.dataset) == ("digest", {}, None)
    assert {
        "base_model": request.base_model,
        "request": request.request,
        "description": request.description,
        "spec": request.spec,
    } == golden["request"]


@pytest.mark.parametrize("golden", GOLDENS["requests"], ids=lambda golden: golden["name"])
def test_the_way_there_and_back_keeps_the_configurations(golden: dict[str, Any]) -> None:
    start = parsed(golden["body"])
    request = request_of_start(start, IDENTITY, OURS)
    source = {"workspace": {"path": "datasets/x"}}
    spec = {**request.spec, "dataset": {**request.spec["dataset"], "source": source}}
    for view in (job_view(spec), job_view(spec, dialect="qlora", request=json.dumps(dict(request.request)))):
        assert lora_config_of(view) == start.lora_config.model_dump(exclude_none=True)
        assert training_config_of(view) == start.training_config.model_dump()


def test_the_texts_are_not_kept_on_the_resource() -> None:
    request = request_of_start(parsed({"model_name": "a/b", "train_texts": ["secret text"]}), IDENTITY, OURS)
    assert "secret text" not in json.dumps(dict(request.request)) + json.dumps(dict(request.spec))


@pytest.mark.parametrize("golden", GOLDENS["specs"], ids=lambda golden: golden["name"])
def test_a_spec_made_elsewhere_becomes_configurations(golden: dict[str, Any]) -> None:
    view = job_view(golden["spec"])
    assert lora_config_of(view) == golden["lora_config"]
    assert training_config_of(view) == golden["training_config"]


@pytest.mark.parametrize(
    ("phase", "cancel", "status"),
    [
        (None, False, "pending"),
        ("Pending", False, "pending"),
        ("Queued", False, "pending"),
        ("Suspended", False, "pending"),
        ("Starting", False, "running"),
        ("Running", False, "running"),
        ("Succeeded", False, "completed"),
        ("Failed", False, "failed"),
        ("Cancelled", True, "cancelled"),
        ("Running", True, "cancelled"),
        ("Succeeded", True, "completed"),
    ],
)
def test_the_status_of_each_phase(phase: str | None, cancel: bool, status: str) -> None:
    assert status_of_job(job_view({"cancel": cancel}, {"phase": phase} if phase else {})) == status


def test_a_job_made_elsewhere_in_this_apis_words() -> None:
    status = {
        "phase": "Running",
        "startTime": "2026-01-01T12:30:00+02:00",
        "progress": {"percent": 12.345, "step": 3, "totalSteps": 9, "loss": float("nan"), "learningRate": 0.5},
    }
    shown = job_of_view(job_view({"output": {"adapterName": "helper"}}, status))
    assert (shown["job_id"], shown["model_name"], shown["progress"]) == ("demo", "a/b", 12.3)
    assert (shown["created_at"], shown["started_at"]) == ("2026-01-01T12:00:00", "2026-01-01T10:30:00")
    assert (shown["current_loss"], shown["metrics"]) == (None, {"train_loss": None, "eval_loss": None})
    assert (shown["current_step"], shown["total_steps"], shown["learning_rate"]) == (3, 9, 0.5)
    assert (shown["adapter_path"], shown["output_dir"]) == ("adapters/helper", "jobs/demo-01234567")


@pytest.mark.parametrize(
    "request_text", ["{}", '{"lora_config": {"lora_alpha": 16.0}, "training_config": {"num_epochs": 2.0}}']
)
def test_whole_numbers_have_no_point(request_text: str) -> None:
    shown = job_of_view(job_view(dialect="qlora", request=request_text))
    assert isinstance(shown["lora_config"]["lora_alpha"], int)
    assert isinstance(shown["training_config"]["num_epochs"], int)
    assert isinstance(shown["training_config"]["learning_rate"], float)


@pytest.mark.parametrize("text", ["{", "[1]", '{"lora_config": 1, "training_config": [], "model_name": 5, "foo": 1}'])
def test_a_request_annotation_from_elsewhere_does_no_harm(text: str) -> None:
    shown = job_of_view(job_view(dialect="qlora", request=text))
    assert (shown["model_name"], shown["lora_config"]["r"]) == ("a/b", 4)
    assert shown["training_config"]["num_epochs"] == 3


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("550e8400-e29b-41d4-a716-446655440000", "j550e8400-e29b-41d4-a716-446655440000"),
        ("helper", "helper"),
        ("coding_assistant_v1", "coding-assistant-v1-99086c"),
        ("coding-assistant-v1-99086c", "coding-assistant-v1-99086c"),
        ("9lives", "j9lives"),
    ],
)
def test_the_adapter_that_a_name_means(name: str, resource: str) -> None:
    assert adapter_resource(name) == resource


@pytest.mark.parametrize("name", ["", "..", "a/b", "\0", "ü" * 300, "A B", "-", "%"])
def test_whatever_is_written_is_a_name_that_a_resource_can_have(name: str) -> None:
    found = adapter_resource(name)
    assert found.replace("-", "").isalnum()
    assert len(found) <= 52


def test_findings_of_the_core_name_the_requests_fields() -> None:
    paths = ["spec.adapter.rank", "spec.hyperparameters.maxLength", "spec.dataset.source.workspace", "x"]
    error = InvalidManifestError([FieldError(path, "bad") for path in paths])
    found = "lora_config.r: bad; training_config.max_seq_length: bad; train_texts: bad; x: bad"
    assert finding_of(error) == found
