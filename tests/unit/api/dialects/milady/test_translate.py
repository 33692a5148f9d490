import json
from pathlib import Path
from typing import Any

import pytest

from fettle_api.dialects.milady.translate import (
    findings_of,
    is_shown,
    job_of_view,
    model_id_of,
    name_of_model_id,
    phase_of_job,
    request_of_options,
    status_of_job,
    status_of_service,
)
from fettle_api.dialects.milady.wire import JobOptions, page_of_query, parse_request
from fettle_api.resources.models import JobLog, LogLine
from fettle_api.web.idempotency import Identity
from fettle_schema.dataset import DatasetSource
from fettle_schema.errors import FieldError, InvalidManifestError
from fettle_schema.validation import admit
from fettle_schema.vocabulary import Phase, Stage
from tests.support.job_views import job_view

GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text())
IDENTITY = Identity("0123456789ab" + "0" * 52)


@pytest.mark.parametrize("golden", GOLDENS["requests"], ids=lambda golden: golden["name"])
def test_options_become_a_request(golden: dict[str, Any]) -> None:
    given = golden["dataset"]
    dataset = given if isinstance(given, str) else DatasetSource.model_validate(given)
    options = parse_request(JobOptions, golden["body"])
    model = options.model or "default-model"
    request = request_of_options(options, model, dataset, golden["is_built"], IDENTITY)
    assert (request.name, request.original_id, request.dialect) == ("job-0123456789ab", "job-0123456789ab", "milady")
    assert {name: getattr(request, name) for name in golden["request"]} == golden["request"]


@pytest.mark.parametrize("golden", GOLDENS["requests"], ids=lambda golden: golden["name"])
def test_what_becomes_of_options_is_a_valid_manifest(golden: dict[str, Any]) -> None:
    spec = {**golden["request"]["spec"], "baseModel": {"id": "a/b"}}
    spec["dataset"] = {"source": {"workspace": {"path": "datasets/x"}}, **spec["dataset"]}
    manifest = {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "x"}, "spec": spec}
    assert admit(manifest)["spec"]["method"] == "sft"


@pytest.mark.parametrize("golden", GOLDENS["jobs"], ids=lambda golden: golden["name"])
def test_jobs_made_anywhere_are_shown(golden: dict[str, Any]) -> None:
    shown = job_of_view(job_view(golden["spec"], golden["status"], **golden.get("annotations", {})))
    assert {name: shown[name] for name in golden["job"]} == golden["job"]
    assert shown.keys() == GOLDENS["jobs"][0]["job"].keys()
    json.dumps(shown, allow_nan=False)


def test_a_detail_has_the_end_of_the_log() -> None:
    view = job_view()
    log = JobLog(view, (LogLine(None, "one"), LogLine(view.created_at, "two")), 2)
    assert job_of_view(view, log)["logs"] == ["one", "two"]


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


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("stage", [None, *Stage])
def test_the_phase_of_each_stage(phase: Phase, stage: Stage | None) -> None:
    known = ("starting", "loading_data", "preparing_samples", "training", "validating", "finalizing", "completed")
    shown = phase_of_job(job_view(status={"phase": phase, "progress": {"stage": stage} if stage else None}))
    assert shown in known
    assert (shown == "completed") == (phase is Phase.SUCCEEDED)


@pytest.mark.parametrize("name", ["demo", "model-x", "job-0123456789ab", "x" * 52])
def test_a_model_is_found_by_its_id(name: str) -> None:
    assert name_of_model_id(model_id_of(job_view(name=name))) == name


@pytest.mark.parametrize("model_id", ["", "demo", "model-", "model-A", "model-../x", "model-" + "x" * 53, "model-001"])
def test_what_can_be_no_model_id(model_id: str) -> None:
    assert name_of_model_id(model_id) is None


def test_findings_of_the_core_name_the_requests_fields() -> None:
    paths = ["spec.baseModel", "spec.dataset.source", "spec.hyperparameters.batchSize", "spec.resources", "x"]
    error = InvalidManifestError([FieldError(path, "bad") for path in paths])
    assert findings_of(error) == ["model: bad", "datasetId: bad", "batchSize: bad", "backend: bad", "x: bad"]


def test_counters() -> None:
    benchmark = {"method": "benchmark", "dataset": {"source": {"workspace": {"path": "x"}}}}
    output = {"kind": "adapter", "path": "adapters/x/0", "digest": "sha256:0"}
    jobs = [
        job_view(status={"phase": "Running", "startTime": "2026-01-02T00:00:00Z"}, name="later"),
        job_view(status={"phase": "Running", "startTime": "2026-01-01T00:00:00Z"}, name="earlier"),
        job_view(name="waiting"),
        job_view(status={"phase": "Succeeded", "output": output}, name="done"),
        job_view(status={"phase": "Failed"}, name="failed"),
        job_view(benchmark, {"phase": "Running"}, name="benchmark", dialect="benchmark"),
    ]
    assert not is_shown(jobs[-1])
    assert status_of_service(jobs, 3, True) == {
        "available": True,
        "backend": "cuda",
        "runtimeAvailable": True,
        "activeJobId": "earlier",
        "runningJobs": 2,
        "queuedJobs": 1,
        "completedJobs": 1,
        "failedJobs": 1,
        "modelCount": 1,
        "datasetCount": 3,
    }
    assert status_of_service([jobs[2]], 0, False)["activeJobId"] is None


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ({}, (0, 100)),
        ({"limit": "5", "offset": "2"}, (2, 5)),
        ({"limit": "0"}, (0, 100)),
        ({"limit": "-3", "offset": "-3"}, (0, 100)),
        ({"limit": "501"}, (0, 500)),
        ({"limit": "x", "offset": "x"}, (0, 100)),
        ({"limit": "1.5"}, (0, 100)),
        ({"limit": "²"}, (0, 100)),
        ({"limit": "9" * 400, "offset": "9" * 400}, (0, 100)),
        ({"limit": " 7 "}, (0, 7)),
    ],
)
def test_pages(query: dict[str, str], page: tuple[int, int]) -> None:
    assert page_of_query(query) == page
