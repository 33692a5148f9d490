"""What a training would leave, without the training: an adapter of random numbers, and a run to go on with."""

from pathlib import Path
from typing import Any

from fettle_schema.run import RunConfig
from fettle_trainer.job_files import job_files
from fettle_trainer.progress import ProgressLog
from fettle_trainer.publish import PublishedArtifact, publish_adapter
from fettle_trainer.stopping import StopFlag
from fettle_trainer.training_run import Run
from tests.support.runs import run_config


def write_adapter(base: Path, directory: Path, seed: int = 0, **changes: Any) -> Path:
    """A LoRA adapter for the model in `base`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **changes}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **config))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape).to(parameter.dtype)
    model.save_pretrained(directory)
    return directory


def publish_random_adapter(workspace: Path, base: str = "models/tiny", seed: int = 0) -> PublishedArtifact:
    """The same, published as `adapters/demo/…` of the workspace."""
    provenance = {
        "method": "sft",
        "baseModel": {"name": base, "revision": "sha256:0"},
        "datasetDigest": "sha256:1",
        "adapter": {"rank": 4, "alpha": 8.0},
        "hyperparameters": {"maxSteps": 8},
    }

    def save(directory: Path) -> None:
        write_adapter(workspace / base, directory, seed)

    return publish_adapter(save, workspace, "adapters", "demo", base, "uid", provenance)


def in_process_run(workspace: Path, attempt: int = 1, **changes: Any) -> Run:
    """A run as a method is given it, without the process around it."""
    config = RunConfig.model_validate(run_config(job={"attempt": attempt}, **changes))
    files = job_files(workspace, config.directory, attempt)
    files.attempt_directory.mkdir(parents=True, exist_ok=True)
    return Run(config, files, ProgressLog(files.metrics, attempt), StopFlag())
