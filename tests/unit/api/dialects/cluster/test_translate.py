import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_api.adapters.views import AdapterView, view_adapter
from fettle_api.dialects.cluster.translate import (
    adapter_name_of,
    config_of_view,
    findings_of,
    job_of_view,
    request_of_train,
    status_of_job,
    warnings_of,
)
from fettle_api.dialects.cluster.wire import parse_request
from fettle_api.web.idempotency import Identity
from fettle_schema.errors import FieldError, InvalidManifestError
from tests.support.job_views import job_view

GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text())
IDENTITY = Identity("0123456789ab0def0123456789abcdef" + "0" * 32, "digest")


def adapter(name: str, base_model: str) -> AdapterView:
    metadata = {"name": name, "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z"}
    source = {"workspace": {"path": "adapters/x/1"}}
    return view_adapter({"metadata": metadata, "spec": {"baseModel": {"id": base_model}, "source": source}})


@pytest.mark.parametrize("golden", GOLDENS["requests"], ids=lambda golden: golden["name"])
def test_a_request_becomes_a_training_job(golden: dict[str, Any]) -> None:
    train = parse_request(golden["body"])
    request = request_of_train(
        train,
        IDENTITY,
        adapter_name=adapter_name_of(train, "a/b", []),
        start_adapter=golden["body"].get("adapter_path"),
        tracking_project="ours",
    )
    assert request.original_id == "01234567-89ab-4def-8123-456789abcdef"
    assert request.name == f"j{request.original_id}"
    assert (request.request_digest, request.secrets) == ("digest", {})
    assert {
        "base_model": request.base_model,
        "dataset": request.dataset,
        "spec": request.spec,
        "request": request.request,
    } == golden["request"]


@pytest.mark.parametrize("golden", GOLDENS["specs"], ids=lambda golden: golden["name"])
def test_a_spec_made_elsewhere_becomes_a_configuration(golden: dict[str, Any]) -> None:
    config = config_of_view(job_view(golden["spec"]))
    assert {name: config[name] for name in golden["config"]} == golden["config"]


def test_the_way_there_and_back_keeps_the_configuration() -> None:
    train = parse_request(GOLDENS["requests"][1]["body"])
    request = request_of_train(train, IDENTITY, adapter_name="my-adapter", start_adapter="first-adapter")
    spec = {**request.spec, "baseModel": {"id": request.base_model}}
    spec["dataset"] = {**request.spec["dataset"], "source": {"workspace": {"path": "datasets/news"}}}
    back = config_of_view(job_view(spec))
    assert back == {**train.echo(), "lora_name": "my-adapter", "lora_version": None}


@pytest.mark.parametrize(
    ("phase", "cancel", "status"),
    [
        (None, False, "queued"),
        ("Pending", False, "queued"),
        ("Queued", False, "queued"),
        ("Suspended", False, "queued"),
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


def test_a_finished_job_with_everything() -> None:
    status = {
        "phase": "Succeeded",
        "startTime": "2026-01-01T12:30:00.5Z",
        "completionTime": "2026-01-01T12:31:00Z",
        "output": {"kind": "adapter", "path": "adapters/x/1", "digest": "sha256:1"},
    }
    shown = job_of_view(job_view(status=status))
    assert shown["start_time"] == datetime(2026, 1, 1, 12, 30, 0, 500_000, UTC).timestamp()
    assert (shown["status"], shown["output_path"], shown["error"]) == ("completed", "adapters/x/1", None)


@pytest.mark.parametrize("text", ["{", "[1]", '{"webhook_url": "https://leaked", "foo": 1}'])
def test_a_request_annotation_from_elsewhere_does_no_harm(text: str) -> None:
    config = config_of_view(job_view(dialect="cluster", request=text))
    assert "leaked" not in json.dumps(config)
    assert "foo" not in config
    assert config["num_epochs"] == 3.0


def test_an_adapters_name_belongs_to_one_base_model() -> None:
    train = parse_request({})
    assert adapter_name_of(train, "a/b", [adapter("initial-sft", "a/b")]) == "initial-sft"
    assert adapter_name_of(train, "tiny", [adapter("initial-sft", "models/tiny")]) == "initial-sft"
    other = adapter_name_of(train, "a/b", [adapter("initial-sft", "c/d")])
    assert other.startswith("initial-sft-a-b-")


@pytest.mark.parametrize(
    ("body", "is_warned"),
    [({}, False), ({"template": "llama3"}, False), ({"template": "vicuna"}, True)],
)
def test_a_template_that_nobody_knows_is_a_warning(body: dict[str, Any], is_warned: bool) -> None:
    assert bool(warnings_of(parse_request(body))) == is_warned


def test_findings_of_the_core_name_the_requests_fields() -> None:
    paths = ["spec.hyperparameters.maxLength", "spec.output.push.repository", "spec.startFrom.adapter", "x"]
    error = InvalidManifestError([FieldError(path, "bad") for path in paths])
    found = findings_of(error)
    assert [entry["loc"] for entry in found] == [
        ["body", "cutoff_len"],
        ["body", "lora_hf_repo"],
        ["body", "adapter_path"],
        ["body", "x"],
    ]
    assert {entry["msg"] for entry in found} == {"bad"}
