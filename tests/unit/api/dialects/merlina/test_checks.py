from dataclasses import replace
from typing import Any

import pytest

from fettle_api.dialects.merlina.checks import MissingGpu, Validation, validate
from fettle_api.dialects.merlina.translate import Installation
from fettle_api.dialects.merlina.wire import TrainingConfig, parse
from fettle_api.gpus import GpuView
from fettle_api.jobs.preflight import JobFacts
from fettle_schema.errors import FieldError
from fettle_schema.estimate.job_estimate import estimate_job
from fettle_schema.estimate.known_models import known_config
from fettle_schema.training_job import TrainingJobSpec

GIB = 1024**3
CLUSTER = Installation(has_platform_token=False, tracking_project="fettle", local_gpus=None)
SPEC = TrainingJobSpec.model_validate({"baseModel": {"id": "a/b"}, "resources": {"gpusPerNode": 1}})
FACTS = JobFacts(SPEC, (), None, True, None, 100 * GIB, GIB, None)


def gpu(index: int = 0, gigabytes: int = 24, capability: str | None = "8.9") -> GpuView:
    return GpuView(index, "a GPU", gigabytes * GIB, gigabytes * GIB, 0, compute_capability=capability)


def config(**fields: Any) -> TrainingConfig:
    dataset = {"source": {"source_type": "huggingface", "repo_id": "c/d"}}
    quiet = {"lora_alpha": 64, "use_wandb": False, "attn_implementation": "sdpa"}
    return parse(TrainingConfig, {"output_name": "x", "base_model": "a/b", "dataset": dataset, **quiet, **fields})


def outcome(
    given: TrainingConfig | None = None,
    facts: JobFacts | None = FACTS,
    problem: str | None = None,
    installation: Installation = CLUSTER,
    missing_gpu: MissingGpu = "warning",
) -> Validation:
    return validate(given or config(), facts, problem, installation, missing_gpu)


def test_nothing_is_wrong() -> None:
    found = outcome(facts=replace(FACTS, gpus=(gpu(),)))
    assert (found.errors, found.warnings, found.is_valid) == ([], [], True)
    assert set(found.checks.values()) == {True}


@pytest.mark.parametrize(("missing_gpu", "is_valid"), [("error", False), ("warning", True)])
def test_a_machine_without_gpus(missing_gpu: MissingGpu, is_valid: bool) -> None:
    found = outcome(config(gpu_ids=[0]), replace(FACTS, gpus=()), missing_gpu=missing_gpu)
    assert (found.is_valid, found.checks["gpu_available"]) == (is_valid, False)
    assert any("GPU not available" in words for words in (found.warnings if is_valid else found.errors))
    assert "gpu_ids is ignored: this machine has no GPU" in found.warnings


def test_a_cluster_makes_no_claim() -> None:
    found = outcome()
    assert (found.errors, found.checks["gpu_available"], found.checks["vram_sufficient"]) == ([], True, True)


def test_a_gpu_that_is_not_there() -> None:
    found = outcome(config(gpu_ids=[0, 7]), replace(FACTS, gpus=(gpu(), gpu(1))))
    assert found.errors == ["gpu_ids: GPU 7 not found; there are 0, 1"]


@pytest.mark.parametrize(("gigabytes", "has_room"), [(4, False), (192, True)])
def test_memory_of_the_gpu(gigabytes: int, has_room: bool) -> None:
    shape = known_config("meta-llama/Llama-3.1-8B")
    assert shape is not None
    facts = replace(FACTS, gpus=(gpu(0, gigabytes),), estimate=estimate_job(SPEC, shape))
    found = outcome(facts=facts)
    assert found.checks["vram_sufficient"] is has_room
    if not has_room:
        (words,) = found.errors
        assert words.startswith("Insufficient VRAM (required: ")
        assert words.endswith(", available: 4.0GB)")


def test_room_on_the_disk() -> None:
    found = outcome(facts=replace(FACTS, free_bytes=GIB, needed_bytes=10 * GIB))
    assert found.errors == ["Insufficient disk space (required: 10.0GB, available: 1.0GB)"]
    assert found.checks["disk_space_ok"] is False


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./models/x", "Local model path './models/x' does not exist in the workspace"),
        ("/data/x", "Local model path '/data/x' does not exist in the workspace"),
        ("a/b/c", "Local model path 'a/b/c' does not exist in the workspace"),
        ("meta-llama/x", "Model 'meta-llama/x' is gated and requires a HuggingFace token: give hf_token"),
        ("open/x", None),
    ],
)
def test_models_that_are_not_there(name: str, words: str | None) -> None:
    missing = replace(FACTS, model_is_present=False)
    found = outcome(config(base_model=name), missing)
    assert found.errors == ([words] if words else [])
    assert outcome(config(base_model=name)).errors == []


def test_a_token_opens_a_gated_model() -> None:
    missing, gated = replace(FACTS, model_is_present=False), {"base_model": "meta-llama/x"}
    assert outcome(config(**gated, hf_token="t"), missing).errors == []
    platform = replace(CLUSTER, has_platform_token=True)
    assert outcome(config(**gated), missing, installation=platform).errors == []
    own = config(**gated, use_wandb=True, wandb_key="w")
    assert outcome(own, missing, installation=platform).errors, "the job has its own Secret, without a token"


def test_what_the_rules_and_the_rows_say_is_said_too() -> None:
    facts = replace(FACTS, findings=(FieldError("spec.method", "wrong"),), dataset_problem="no rows")
    found = outcome(facts=facts)
    assert found.errors == ["Dataset: no rows", "training_mode: wrong"]
    assert found.checks["dataset_valid"] is False
    assert outcome(problem="HuggingFace dataset requires repo_id").checks["dataset_valid"] is False


def test_pushing_needs_a_token() -> None:
    assert outcome(config(push_to_hub=True)).errors == ["push_to_hub requires a HuggingFace token: give hf_token"]
    assert outcome(config(push_to_hub=True, hf_token="t")).errors == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"lora_r": 128}, "LoRA alpha (64) is less than rank (128)"),
        ({"gradient_accumulation_steps": 1}, "Effective batch size (1) is small; training may be unstable"),
        ({"batch_size": 8, "gradient_accumulation_steps": 32}, "Effective batch size (256) is large"),
        ({"learning_rate": 2e-4}, "Learning rate (0.0002) is high"),
        ({"use_4bit": False}, "Training without 4-bit quantization needs more VRAM"),
        ({"use_lora": False}, "use_4bit is ignored"),
        ({"use_wandb": True}, "Weights & Biases is off"),
        ({"training_mode": "kto"}, "batch_size 2 is used instead of 1"),
    ],
)
def test_warnings(fields: dict[str, Any], words: str) -> None:
    found = outcome(config(**fields), replace(FACTS, gpus=(gpu(),)))
    assert found.errors == []
    assert any(words in warning for warning in found.warnings)


@pytest.mark.parametrize(("capability", "warns"), [("7.5", True), (None, True), ("9.0", False)])
def test_flash_attention_needs_a_gpu_that_has_it(capability: str | None, warns: bool) -> None:
    facts = replace(FACTS, gpus=(gpu(capability=capability),))
    found = outcome(config(attn_implementation="flash_attention_2"), facts)
    assert any("Flash Attention 2 not available" in words for words in found.warnings) is warns


def test_memory_that_may_not_be_enough_is_a_warning() -> None:
    shape = known_config("meta-llama/Llama-3.1-8B")
    assert shape is not None
    estimate = estimate_job(SPEC, shape)
    middle = (estimate.memory.low + estimate.memory.high) // 2
    facts = replace(FACTS, estimate=estimate, gpus=(replace(gpu(), memory_total_bytes=middle),))
    found = outcome(facts=facts)
    assert (found.errors, found.checks["vram_sufficient"]) == ([], True)
    assert any(words.startswith("VRAM is tight") for words in found.warnings)
