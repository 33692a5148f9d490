"""Who reports progress from a pod: transformers by itself, without a line of ours; and nobody, when nobody listens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chronicle import Chronicle, Status
from tests.e2e.fates import LABEL, cheap_job, supervised
from tests.e2e.installation import RELEASE, Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 14
STOCK = f"""
import time
import torch
from transformers import Trainer, TrainingArguments

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
    def forward(self, points, labels):
        time.sleep(0.5)
        return {{"loss": torch.nn.functional.mse_loss(self.layer(points), labels)}}

rows = [{{"points": torch.tensor([float(i), 1.0]), "labels": torch.tensor([2.0 * i])}} for i in range(8)]
arguments = TrainingArguments("/tmp/out", max_steps={STEPS}, logging_steps=1, save_strategy="no", use_cpu=True)
Trainer(Line(), arguments, train_dataset=rows).train()
"""
STALL_SECONDS = 6
UNHEARD = """
for step in $(seq 14); do
  echo '{"time": "2026-01-01T00:00:00Z", "attempt": 1, "stage": "training", "step": '$step'}' >> $SERIES
  sleep 1
done
"""


@pytest.fixture
def chronicle(installation: Installation, tmp_path: Path) -> Iterator[Chronicle]:
    with Chronicle(installation.cluster, tmp_path) as chronicle:
        yield chronicle
        installation.kubectl("delete", "trainingjobs", "--selector", LABEL, "--wait=false")


def summary(status: Status) -> str:
    return str((status.get("progress") or {}).get("summary"))


def test_stock_transformers_reports_by_its_own_callback(installation: Installation, chronicle: Chronicle) -> None:
    resources = {"cpu": "1", "memory": "2Gi"}
    installation.apply(cheap_job("stock", runtime={"command": ["python", "-c", STOCK]}, resources=resources))
    status = chronicle.wait("stock", "Succeeded", "Failed", seconds=300)
    assert status["phase"] == "Succeeded", installation.kubectl("logs", "job/stock-a1")
    chronicle.wait_until("stock", lambda status: summary(status) == f"{STEPS}/{STEPS}", "all steps are reported")
    seen = [status["progress"] for status in chronicle.statuses("stock") if status.get("progress")]
    assert {progress["totalSteps"] for progress in seen} == {STEPS}
    assert any(0 < progress.get("step", 0) < STEPS for progress in seen)
    assert any("loss" in progress and "learningRate" in progress for progress in seen)


def test_a_run_that_nobody_hears_is_not_hurt(installation: Installation, chronicle: Chronicle) -> None:
    facade = f"deployment/{RELEASE}-api"
    installation.kubectl("scale", facade, "--replicas=0")
    installation.kubectl("wait", "pods", "--selector=app.kubernetes.io/component=api", "--for=delete", "--timeout=120s")
    try:
        limits = {"stallTimeoutSeconds": STALL_SECONDS, "startupTimeoutSeconds": STALL_SECONDS * 5}
        resources = {"cpu": "300m", "memory": "128Mi"}
        installation.apply(cheap_job("unheard", runtime=supervised(UNHEARD), limits=limits, resources=resources))
        status = chronicle.wait("unheard", "Succeeded", "Failed")
    finally:
        installation.kubectl("scale", facade, "--replicas=1")
        installation.kubectl("rollout", "status", facade, "--timeout=120s")
    assert status["phase"] == "Succeeded", status
    assert status["activeSeconds"] > 2 * STALL_SECONDS
    assert (status["attempts"]["failures"], status.get("progress")) == (0, None)
