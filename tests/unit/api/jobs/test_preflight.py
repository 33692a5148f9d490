import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_api.files.workspace import Workspace
from fettle_api.gpus import UnknownGpus
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.jobs.preflight import Preflight
from fettle_api.metrics import Metrics
from fettle_api.resources.models import JobRequest
from fettle_api.resources.store import Store
from fettle_api.service import build_service
from fettle_api.settings import ApiSettings
from tests.support.memory_client import MemoryClient

PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}
CONFIG = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
}
HUB = {"huggingFace": {"id": "c/d"}}
LOCAL = {"workspace": {"path": "datasets/pairs.jsonl"}}


def request(base_model: str = "a/b", source: dict[str, Any] | None = None, **spec: Any) -> JobRequest:
    given = {"method": "orpo", "dataset": {"source": source or HUB, "template": {"name": "chatml"}}, **spec}
    return JobRequest(
        name="demo",
        dialect="merlina",
        original_id="demo",
        base_model=base_model,
        dataset=None,
        spec=given,
        request={},
    )


@pytest.fixture
async def preflight(tmp_path: Path) -> AsyncIterator[Preflight]:
    (tmp_path / "models/tiny").mkdir(parents=True)
    (tmp_path / "models/tiny/config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/pairs.jsonl").write_text(json.dumps(PAIR) + "\n")
    client, settings = MemoryClient(), ApiSettings(workspace=tmp_path, default_gpus=0)
    store, logs = Store(client, "default"), WorkspaceLogs(Workspace(tmp_path))
    store.start()
    now = datetime.now(UTC)
    yield build_service(settings, client, store, tmp_path, logs, lambda: now, UnknownGpus(), Metrics()).preflight
    await store.stop()


async def test_what_is_not_known_is_not_claimed(preflight: Preflight) -> None:
    facts = await preflight.facts(request())
    assert facts.spec is not None
    assert facts.spec.dataset is not None
    assert (facts.gpus, facts.estimate, facts.model_is_present, facts.dataset_problem) == (None, None, False, None)
    assert facts.findings == ()
    assert facts.free_bytes > 0


async def test_a_model_of_the_workspace_is_estimated(preflight: Preflight) -> None:
    facts = await preflight.facts(request("tiny", LOCAL))
    assert facts.model_is_present
    assert facts.estimate is not None
    assert facts.estimate.memory.low <= facts.estimate.memory.expected <= facts.estimate.memory.high
    assert facts.dataset_problem is None
    full = await preflight.facts(request("tiny", LOCAL, adapter={"type": "none"}))
    assert facts.needed_bytes < full.needed_bytes


async def test_a_model_that_is_yet_to_be_fetched_needs_room(preflight: Preflight) -> None:
    known = await preflight.facts(request("mistralai/Mistral-7B-v0.3"))
    assert not known.model_is_present
    assert known.needed_bytes > 14 * 10**9


async def test_rows_that_do_not_fit_the_method(preflight: Preflight) -> None:
    facts = await preflight.facts(request("tiny", LOCAL, method="sft"))
    assert facts.dataset_problem is not None
    assert "trains on" in facts.dataset_problem
    assert (await preflight.facts(request("tiny", LOCAL, method="sft"), look_at_rows=False)).dataset_problem is None


async def test_a_file_that_is_missing(preflight: Preflight) -> None:
    facts = await preflight.facts(request("tiny", {"workspace": {"path": "datasets/nothing.jsonl"}}))
    assert facts.dataset_problem is not None


async def test_without_the_models_template_rows_are_only_read(preflight: Preflight) -> None:
    dataset = {"source": LOCAL, "template": {"name": "tokenizer"}}
    assert (await preflight.facts(request("tiny", dataset=dataset))).dataset_problem is None


async def test_what_the_rules_refuse(preflight: Preflight) -> None:
    facts = await preflight.facts(request("tiny", method="kto", hyperparameters={"batchSize": 1}))
    assert facts.spec is None
    assert [finding.path for finding in facts.findings] == ["spec.hyperparameters.batchSize"]
    bad_name = await preflight.facts(request("no/such/model"))
    assert [finding.path for finding in bad_name.findings] == ["spec.baseModel"]
