import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_api.dialects.merlina.translate import (
    Installation,
    JobIds,
    findings_of,
    id_of_name,
    keyed_id,
    name_of_id,
    priority_of,
    request_of_config,
)
from fettle_api.dialects.merlina.wire import TrainingConfig, TrainRequest, parse
from fettle_api.resources.models import JobRequest
from fettle_schema.base import API_VERSION
from fettle_schema.dataset import DatasetSource
from fettle_schema.errors import FieldError, InvalidManifestError
from fettle_schema.validation import admit

GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text())
CLUSTER = Installation(has_platform_token=False, tracking_project="fettle", local_gpus=None)
HUB = DatasetSource.model_validate({"huggingFace": {"id": "c/d", "split": "train"}})
JOB_ID = "job_20250116_143022"


def config(**fields: Any) -> TrainingConfig:
    dataset = {"source": {"source_type": "huggingface", "repo_id": "c/d"}}
    return parse(TrainRequest, {"output_name": "x", "base_model": "a/b", "dataset": dataset, **fields})


def request(given: TrainingConfig, installation: Installation = CLUSTER, priority: str = "normal") -> JobRequest:
    return request_of_config(given, JOB_ID, priority, HUB, installation)


@pytest.mark.parametrize("golden", GOLDENS["requests"], ids=lambda golden: golden["name"])
def test_a_configuration_becomes_a_request(golden: dict[str, Any]) -> None:
    installation = Installation(**{**vars(CLUSTER), **golden.get("installation", {})})
    made = request(config(**golden["config"]), installation, golden.get("priority", "normal"))
    assert (made.name, made.original_id, made.dialect) == ("job-20250116-143022", JOB_ID, "merlina")
    assert {
        "base_model": made.base_model,
        "spec": made.spec,
        "secrets": made.secrets,
        "run_name": made.run_name,
    } == golden["request"]


@pytest.mark.parametrize("method", ["orpo", "sft", "dpo", "simpo", "cpo", "ipo", "kto"])
@pytest.mark.parametrize("use_lora", [True, False])
def test_the_defaults_of_every_method_pass_the_rules(method: str, use_lora: bool) -> None:
    made = request(config(training_mode=method, use_lora=use_lora))
    spec = {**made.spec, "baseModel": {"id": made.base_model}}
    admit({"apiVersion": API_VERSION, "kind": "TrainingJob", "metadata": {"name": made.name}, "spec": spec})


def test_the_request_is_echoed_without_secrets() -> None:
    made = request(config(hf_token="hf_secret", wandb_key="w_secret", lora_r=8, unknown=1))
    assert made.request == {
        "base_model": "a/b",
        "output_name": "x",
        "hf_token": "***",
        "wandb_key": "***",
        "lora_r": 8,
        "dataset": {"source": {"source_type": "huggingface", "repo_id": "c/d"}},
    }
    assert dict(made.secrets) == {"HF_TOKEN": "hf_secret", "WANDB_API_KEY": "w_secret"}
    assert "secret" not in f"{made.spec}{made.request}{made!r}"


def test_a_masked_secret_is_none() -> None:
    made = request(config(hf_token="***", wandb_key=""))
    assert dict(made.secrets) == {}


@pytest.mark.parametrize(
    ("job_id", "name"),
    [
        ("job_20250116_143022", "job-20250116-143022"),
        ("job_0a1b2c3d_4e5f60", "job-0a1b2c3d-4e5f60"),
        ("by-hand", "by-hand"),
        ("j0123456789ab", "j0123456789ab"),
    ],
)
def test_ids_and_names_find_each_other(job_id: str, name: str) -> None:
    assert (name_of_id(job_id), id_of_name(name)) == (name, job_id)


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "Job", "job_1", "0123", "x" * 53, "a\0b", "-a"])
def test_what_can_be_no_id(job_id: str) -> None:
    assert name_of_id(job_id) is None


def test_ids_of_one_second_differ() -> None:
    ids, now = JobIds(), datetime(2025, 1, 16, 14, 30, 22, 900_000, tzinfo=UTC)
    assert [ids.next(now) for _ in range(3)] == [
        "job_20250116_143022",
        "job_20250116_143023",
        "job_20250116_143024",
    ]
    assert ids.next(now.replace(minute=31)) == "job_20250116_143122"


def test_the_id_of_a_key_is_always_the_same() -> None:
    assert keyed_id("0123456789abcdef") == "job_01234567_89abcd"


@pytest.mark.parametrize(
    ("text", "priority"),
    [(None, "normal"), ("", "normal"), ("low", "low"), ("HIGH", "high"), ("urgent", "normal")],
)
def test_priorities(text: str | None, priority: str) -> None:
    assert priority_of(text) == priority


def test_findings_have_the_names_of_the_request() -> None:
    error = InvalidManifestError(
        [
            FieldError("spec.hyperparameters.optimizer", "must be one of …"),
            FieldError("spec.dataset.template.custom.systemPrefix", "too long"),
            FieldError("spec.somewhere", "wrong"),
        ]
    )
    assert findings_of(error) == [
        "optimizer_type: must be one of …",
        "dataset.format: too long",
        "spec.somewhere: wrong",
    ]
