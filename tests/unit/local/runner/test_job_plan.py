"""What a Job needs, given its pods."""

from typing import Any

import pytest

from fettle_client.protocol import Manifest
from fettle_local.runner.job_controller import build_pod, job_plan

NOW = "2026-01-01T00:00:00Z"
DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]
IGNORE = {"rules": [{"action": "Ignore", "onPodConditions": DISRUPTED}]}


def job(**spec: Any) -> Manifest:
    content = {"backoffLimit": 0, "podFailurePolicy": IGNORE, "template": {"spec": {}}, **spec}
    return {"metadata": {"name": "demo-a1", "namespace": "default", "uid": "u"}, "spec": content}


def pod(phase: str | None, conditions: list[Manifest] | None = None, **metadata: Any) -> Manifest:
    return {"metadata": metadata, "status": {"phase": phase, "conditions": conditions or []}}


@pytest.mark.parametrize(
    ("spec", "pods", "creates_pod", "condition"),
    [
        ({}, [], True, None),
        ({}, [pod(None)], False, None),
        ({}, [pod("Running")], False, None),
        ({}, [pod("Succeeded")], False, "Complete"),
        ({}, [pod("Failed")], False, "Failed"),
        ({}, [pod("Failed", DISRUPTED)], True, None),
        ({"podFailurePolicy": None}, [pod("Failed", DISRUPTED)], False, "Failed"),
        ({}, [pod("Failed", DISRUPTED), pod("Succeeded")], False, "Complete"),
        ({}, [pod("Failed", DISRUPTED, deletionTimestamp=NOW)], False, None),
        ({"suspend": True}, [], False, "Suspended"),
    ],
)
def test_the_plan_follows_from_the_pods(
    spec: dict[str, Any], pods: list[Manifest], creates_pod: bool, condition: str | None
) -> None:
    plan = job_plan(job(**spec), pods, NOW)
    assert plan.creates_pod is creates_pod
    types = [item["type"] for item in plan.status.get("conditions", [])]
    assert types[-1:] == ([condition] if condition else [])


def test_suspending_deletes_the_active_pod() -> None:
    running = pod("Running")
    assert job_plan(job(suspend=True), [running], NOW).deletes_pods == (running,)


def test_a_pod_has_the_labels_of_its_template_and_an_owner() -> None:
    template = {"metadata": {"labels": {"fettle.dev/attempt": "1"}}, "spec": {"restartPolicy": "Never"}}
    made = build_pod(job(template=template), "abcde")
    assert made["metadata"]["name"] == "demo-a1-abcde"
    assert made["metadata"]["labels"]["fettle.dev/attempt"] == "1"
    assert made["metadata"]["ownerReferences"][0]["kind"] == "Job"
    assert made["spec"] == {"restartPolicy": "Never"}
