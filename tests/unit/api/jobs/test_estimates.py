"""Estimates for jobs that nobody has submitted: from config.json, from what was measured, else from next to nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from fettle_api.files.base_models import BaseModels
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.estimates import Estimate, Estimates
from fettle_api.resources.models import JobView
from fettle_schema.estimate.gpus import gpu_named
from fettle_schema.estimate.known_models import KNOWN_MODELS
from fettle_schema.vocabulary import Phase
from tests.support.job_views import job_view

MODEL = "Qwen/Qwen2.5-7B-Instruct"
GPU: dict[str, Any] = {"resources": {"gpusPerNode": 1}}
CPU: dict[str, Any] = {"resources": {"gpusPerNode": 0}}


class FixedJobs:
    """The jobs that there are."""

    def __init__(self, *jobs: JobView) -> None:
        self._jobs = list(jobs)

    async def all(self) -> list[JobView]:
        return self._jobs


def finished(tokens_per_second: float, phase: Phase = Phase.SUCCEEDED, model: str = MODEL, **spec: Any) -> JobView:
    status = {"phase": phase, "progress": {"tokensPerSecond": tokens_per_second}}
    return job_view({"baseModel": {"id": model}, **GPU, **spec}, status, name="done")


async def estimate(
    root: Path, name: str, spec: dict[str, Any] | None = None, *jobs: JobView, count: int | None = None
) -> Estimate:
    models = BaseModels(Workspace(root), {"small": "models/small"})
    estimates = Estimates(models, FixedJobs(*jobs), gpu_named("h100-80"))  # type: ignore[arg-type]
    return await estimates.estimate(name, spec if spec is not None else GPU, count)


async def test_a_known_configuration_gives_memory_and_a_prior_of_speed(tmp_path: Path) -> None:
    found = await estimate(tmp_path, MODEL, count=1000)

    assert found.parameter_count == 7_615_616_512
    assert found.memory_bytes_per_node is not None
    assert found.memory_bytes_per_node > 2 * found.parameter_count
    assert found.examples_per_second is not None
    assert found.seconds == pytest.approx(3000 / found.examples_per_second, rel=0.01)
    assert found.notes[0].startswith("prior: ")
    assert "h100-80" in found.notes[0]
    assert found.details is not None
    assert found.details["memory"]["expectedBytes"] == found.memory_bytes_per_node


async def test_each_gpu_of_a_node_counts(tmp_path: Path) -> None:
    one = await estimate(tmp_path, MODEL)
    two = await estimate(tmp_path, MODEL, {"resources": {"gpusPerNode": 2}})
    assert one.memory_bytes_per_node is not None
    assert two.memory_bytes_per_node is not None
    assert two.memory_bytes_per_node >= 2 * one.memory_bytes_per_node


async def test_the_workspace_comes_before_what_is_bundled(tmp_path: Path) -> None:
    directory = tmp_path / "models/small"
    directory.mkdir(parents=True)
    config = {**KNOWN_MODELS["Qwen/Qwen3-0.6B"], "num_hidden_layers": 2}
    (directory / "config.json").write_text(json.dumps(config))

    found = await estimate(tmp_path, "small")
    assert found.parameter_count is not None
    assert found.parameter_count < 200_000_000


async def test_what_finished_jobs_measured_replaces_the_prior(tmp_path: Path) -> None:
    others = [
        finished(9999.0, phase=Phase.FAILED),
        finished(9999.0, model="a/b"),
        finished(9999.0, method="dpo"),
        finished(9999.0, **CPU),
    ]
    found = await estimate(tmp_path, MODEL, GPU, finished(2048.0), finished(4096.0), finished(3072.0), *others)

    assert found.notes[0] == "measured: median of n=3 jobs, spread 67%"
    assert found.examples_per_second == pytest.approx(3072 / 1024)


async def test_the_speed_of_a_cpu_is_what_was_measured_or_nothing(tmp_path: Path) -> None:
    unknown = await estimate(tmp_path, MODEL, CPU, count=10)
    assert (unknown.examples_per_second, unknown.seconds) == (None, None)
    assert "cpu" in unknown.notes[0]

    measured = await estimate(tmp_path, MODEL, CPU, finished(512.0, **CPU), count=10)
    assert measured.examples_per_second == pytest.approx(0.5)
    assert measured.seconds == pytest.approx(60)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("acme/Helper-7B-Instruct", 7_000_000_000),
        ("acme/tiny-135M", 135_000_000),
        ("acme/some-0.5B", 500_000_000),
        ("helper-13b-chat", 13_000_000_000),
        ("acme/phi-2", None),
        ("a/b", None),
        ("7b/model", None),
        ("not a model", None),
    ],
)
async def test_else_the_name_tells_a_lower_bound_or_nothing_does(tmp_path: Path, name: str, count: int | None) -> None:
    found = await estimate(tmp_path, name)
    assert found.parameter_count == count
    assert found.memory_bytes_per_node == (None if count is None else 2 * count)
    assert (found.examples_per_second, found.seconds, found.details) == (None, None, None)
    assert "config.json" in found.notes[0]


@pytest.mark.parametrize(
    ("config", "note"),
    [
        ({"model_type": "llama"}, "config.json has no"),
        ({**KNOWN_MODELS[MODEL], "num_local_experts": 8}, "expert"),
    ],
)
async def test_a_configuration_that_says_too_little_is_named(tmp_path: Path, config: dict[str, Any], note: str) -> None:
    directory = tmp_path / "models/small"
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))

    found = await estimate(tmp_path, "small")
    assert found.parameter_count is None
    assert note in found.notes[0]


async def test_a_dataset_without_a_source_is_no_obstacle(tmp_path: Path) -> None:
    found = await estimate(tmp_path, MODEL, {**GPU, "dataset": {"evaluation": {"fraction": 0.1}}})
    assert found.details is not None


async def test_a_spec_that_is_none_is_named(tmp_path: Path) -> None:
    found = await estimate(tmp_path, MODEL, {"hyperparameters": {"batchSize": 0}})
    assert found.details is None
    assert "batchSize" in found.notes[0]
