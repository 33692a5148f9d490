import json
from typing import Any

import pytest

from fettle_api.adapters.views import AdapterView, view_adapter
from fettle_api.dialects.qlora.translate_adapters import adapter_of, adapters_of, name_of_adapter, source_job
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job

RESOURCE = "coding-assistant-v1-99086c"


def adapter(name: str = RESOURCE, status: dict[str, Any] | None = None, **source: Any) -> AdapterView:
    metadata = {"name": name, "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z"}
    spec = {"baseModel": {"id": "acme/base"}, "source": source or {"trainingJob": "demo", "trainingJobUid": "job"}}
    return view_adapter({"metadata": metadata, "spec": spec, "status": status or {}})


def job(uid: str = "job", dialect: str = "qlora", **status: Any) -> JobView:
    request = json.dumps({"model_name": "phi-2", "adapter_name": "coding_assistant_v1", "lora_config": {"r": 9}})
    annotations = {"fettle.dev/dialect": dialect, "fettle.dev/request": request, "fettle.dev/description": "words"}
    metadata = {"name": "demo", "uid": uid, "creationTimestamp": "2026-01-01T12:00:00Z", "annotations": annotations}
    return view_job({"metadata": metadata, "spec": {"baseModel": {"id": "acme/base"}}, "status": status})


THERE = {"path": f"adapters/{RESOURCE}/1", "sizeBytes": 1048576 * 3 // 2, "rank": 7, "targetModules": ["q_proj"]}


def test_an_adapter_whose_job_is_there() -> None:
    times = {"startTime": "2026-01-01T12:00:00Z", "completionTime": "2026-01-01T12:01:30Z"}
    shown = adapter_of(adapter(status=THERE), job(**times, progress={"step": 12}), True)
    assert (shown["name"], shown["model_name"], shown["description"]) == ("coding_assistant_v1", "phi-2", "words")
    assert (shown["size_mb"], shown["is_loaded"], shown["created_at"]) == (1.5, True, "2026-01-01T12:00:00")
    assert shown["metrics"] == {"final_loss": None, "training_steps": 12, "training_time_minutes": 1.5}
    assert (shown["training_config"]["r"], shown["training_config"]["num_epochs"]) == (9, 3)


def test_an_adapter_whose_job_is_gone() -> None:
    shown = adapter_of(adapter(status={**THERE, "provenance": {"finalLoss": 0.5}}), None, False)
    assert (shown["name"], shown["model_name"], shown["description"]) == (RESOURCE, "acme/base", "")
    assert shown["metrics"] == {"final_loss": 0.5, "training_steps": None, "training_time_minutes": None}
    assert shown["training_config"] == {"r": 7, "target_modules": ["q_proj"]}


def test_a_later_job_of_the_same_name_is_another() -> None:
    assert source_job(adapter(), {"demo": job()}) is not None
    assert source_job(adapter(), {"demo": job("other")}) is None
    assert source_job(adapter(trainingJob="demo"), {"demo": job("other")}) is not None
    assert source_job(adapter(workspace={"path": "adapters/x"}), {"demo": job()}) is None


@pytest.mark.parametrize(
    ("resource", "dialect", "name"),
    [
        (RESOURCE, "qlora", "coding_assistant_v1"),
        (RESOURCE, "ainode", RESOURCE),
        ("helper", "qlora", "helper"),
        ("j550e8400-e29b-41d4-a716-446655440000", "qlora", "550e8400-e29b-41d4-a716-446655440000"),
    ],
)
def test_the_name_of_an_adapter(resource: str, dialect: str, name: str) -> None:
    assert name_of_adapter(adapter(resource), job(dialect=dialect)) == name


def test_what_is_loaded_and_what_is_current() -> None:
    adapters = [adapter("one", THERE), adapter("two", THERE), adapter("coming")]
    shown = adapters_of(adapters, {}, frozenset({"one"}), "one")
    assert (shown["total"], shown["current_adapter"]) == (2, "one")
    assert [(entry["name"], entry["is_loaded"]) for entry in shown["adapters"]] == [("one", True), ("two", False)]
    assert adapters_of(adapters, {}, frozenset({"one"}), "two")["current_adapter"] is None
