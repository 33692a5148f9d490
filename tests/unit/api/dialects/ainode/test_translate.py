import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_api.dialects.ainode.templates import BUILT_IN, filled
from fettle_api.dialects.ainode.translate import (
    config_of_view,
    derived_request,
    findings_of,
    id_of_name,
    job_of_view,
    name_of_id,
    request_of_config,
    status_of_job,
)
from fettle_api.dialects.ainode.translate_results import tail_of_query
from fettle_api.dialects.ainode.wire import parse_config
from fettle_api.web.idempotency import Identity
from fettle_schema.errors import FieldError, InvalidManifestError
from tests.support.job_views import job_view

GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text())
NOW = datetime(2026, 1, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize("golden", GOLDENS["requests"], ids=lambda golden: golden["name"])
def test_a_configuration_becomes_a_request(golden: dict[str, Any]) -> None:
    template = BUILT_IN.get(golden.get("template", ""))
    config = parse_config(filled(golden["config"], template), is_known_template=template is not None)
    request = request_of_config(config, Identity("0123456789ab" + "0" * 52), template)
    assert request.name == "j0123456789ab"
    assert {
        "base_model": request.base_model,
        "dataset": request.dataset,
        "spec": request.spec,
        "request": request.request,
        "secrets": request.secrets,
        "description": request.description,
        "run_name": request.run_name,
    } == golden["request"]


@pytest.mark.parametrize("golden", GOLDENS["derived"], ids=lambda golden: golden["name"])
def test_a_derived_job_tells_where_it_comes_from(golden: dict[str, Any]) -> None:
    request = derived_request(job_view(None, **golden["annotations"]), Identity("a" * 64, "digest"), golden["changes"])
    assert (request.name, request.original_id, request.request_digest) == ("a" * 12, "a" * 12, "digest")
    assert golden["request"].items() <= request.request.items()
    assert (request.run_name, request.description) == (golden["changes"]["run_name"], golden["changes"]["description"])
    assert (request.base_model, request.dataset, dict(request.secrets)) == (None, None, {})


@pytest.mark.parametrize("golden", GOLDENS["specs"], ids=lambda golden: golden["name"])
def test_a_spec_made_elsewhere_becomes_a_configuration(golden: dict[str, Any]) -> None:
    config = config_of_view(job_view(golden["spec"]))
    assert {name: config[name] for name in golden["config"]} == golden["config"]
    assert config.keys() == config_of_view(job_view()).keys()


def test_the_way_there_and_back_keeps_the_configuration() -> None:
    config = parse_config(GOLDENS["requests"][1]["config"])
    request = request_of_config(config, Identity("0123456789ab" + "0" * 52))
    spec = {**request.spec, "baseModel": {"id": request.base_model}}
    spec["dataset"] = {**request.spec["dataset"], "source": {"huggingFace": {"id": "acme/data"}}}
    back = config_of_view(job_view(spec))
    lost = {"dataset_path", "output_dir", "description", "run_name", "hf_token", "dataset_id", "template_id"}
    wanted = {**config.echo(), "base_model": request.base_model}
    assert {name: back[name] for name in back.keys() - lost} == {name: wanted[name] for name in wanted.keys() - lost}


@pytest.mark.parametrize(
    ("job_id", "name"),
    [("0123456789ab", "j0123456789ab"), ("abcdef012345", "abcdef012345"), ("kubectl-helper", "kubectl-helper")],
)
def test_ids_and_names(job_id: str, name: str) -> None:
    assert name_of_id(job_id) == name
    assert id_of_name(name) == job_id


@pytest.mark.parametrize("name", ["j0123456789ab", "j1", "j0123456789abc", "jabcdef012345", "a", "x" * 52])
def test_what_is_listed_is_found_again(name: str) -> None:
    assert name_of_id(id_of_name(name)) == name


@pytest.mark.parametrize("job_id", ["", "A", "a/b", "a.b", "-a", "a-", "ü", "x" * 53, "0" * 52, "a\n", "a\0"])
def test_what_can_be_no_id(job_id: str) -> None:
    assert name_of_id(job_id) is None


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


def test_time_of_a_running_job_is_counted_until_now() -> None:
    shown = job_of_view(job_view(status={"phase": "Running", "startTime": "2026-01-01T12:30:00Z"}), NOW)
    assert (shown["elapsed_seconds"], shown["end_time"]) == (1800.0, None)


@pytest.mark.parametrize("text", ["{", "[1]", '{"hf_token": "hf_leaked", "foo": 1}'])
def test_a_request_annotation_from_elsewhere_does_no_harm(text: str) -> None:
    config = config_of_view(job_view(dialect="ainode", request=text))
    assert "hf_leaked" not in json.dumps(config)
    assert "foo" not in config
    assert config["num_epochs"] == 3


def test_findings_of_the_core_name_the_requests_fields() -> None:
    paths = [
        "spec.adapter.rank",
        "spec.adapter.type",
        "spec.hyperparameters.maxLength",
        "spec.tracking.wandb.project",
        "x",
    ]
    error = InvalidManifestError([FieldError(path, "bad") for path in paths])
    assert findings_of(error) == [
        "lora_rank: bad",
        "method: bad",
        "max_seq_length: bad",
        "wandb_project: bad",
        "x: bad",
    ]


@pytest.mark.parametrize(
    ("query", "tail"),
    [
        ({}, None),
        ({"tail": "5"}, 5),
        ({"tail": "0"}, 0),
        ({"tail": "-1"}, None),
        ({"tail": "x"}, None),
        ({"tail": "²"}, None),
    ],
)
def test_the_tail_of_a_query(query: dict[str, str], tail: int | None) -> None:
    assert tail_of_query(query) == tail
