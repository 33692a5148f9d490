"""What a finished training leaves: an adapter or a model under the workspace, and the result that names it."""

from pathlib import Path
from typing import Any, Literal

from fettle_data.prepare import PreparedDataset
from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.layout import ADAPTERS
from fettle_schema.run import RunResult
from fettle_schema.status import OutputStatus
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.devices import peak_memory_bytes
from fettle_trainer.estimates import estimate_manifest
from fettle_trainer.models import BaseModel, stored_dtype
from fettle_trainer.publish import PublishedArtifact, publish_adapter, publish_model
from fettle_trainer.training_run import Run


def publish(
    run: Run, trainer: Any, base: BaseModel, dataset: PreparedDataset, tokenizer: Any, seconds: float
) -> RunResult:
    """Publish what was trained; `seconds` is how long the training took."""
    result = RunResult(
        exit_code=int(ExitCode.DONE),
        step=run.step,
        base_model_revision=base.revision,
        dataset_digest=dataset.digest,
        estimate=estimate_manifest(run.config, base),
        metrics=_metrics(run, trainer, dataset, seconds),
    )
    if run.config.adapter.type is AdapterType.NONE:
        kind: Literal["adapter", "model"] = "model"
        published = _publish_model(run, trainer, base, dataset, tokenizer)
    else:
        kind = "adapter"
        published = _publish_adapter(run, trainer, base, dataset)
        lora = trainer.model.peft_config["default"]
        result.rank, result.target_modules = lora.r, sorted(lora.target_modules)
    print(f"published: {published.path}", flush=True)
    result.output = OutputStatus(kind=kind, path=published.path, digest=published.digest)
    result.size_bytes = published.size_bytes
    return result


def provenance(run: Run, base: BaseModel, dataset: PreparedDataset) -> dict[str, Any]:
    """What the artifact was made from. It holds nothing that differs between interrupted and uninterrupted runs."""
    config = run.config
    return {
        "job": {"name": config.job.name, "namespace": config.job.namespace, "uid": config.job.uid},
        "method": config.method.value,
        "baseModel": {"name": base.name, "revision": base.revision},
        "datasetDigest": dataset.digest,
        "adapter": config.adapter.manifest(),
        "hyperparameters": config.hyperparameters.manifest(),
    }


def _publish_adapter(run: Run, trainer: Any, base: BaseModel, dataset: PreparedDataset) -> PublishedArtifact:
    config = run.config

    def save(directory: Path) -> None:
        trainer.model.save_pretrained(str(directory), safe_serialization=True, selected_adapters=["default"])

    facts = provenance(run, base, dataset)
    return publish_adapter(save, run.files.workspace, ADAPTERS, config.output.name, base.name, config.job.uid, facts)


def _publish_model(
    run: Run, trainer: Any, base: BaseModel, dataset: PreparedDataset, tokenizer: Any
) -> PublishedArtifact:
    config = run.config

    def save(directory: Path) -> None:
        trainer.model.to(stored_dtype(base)).save_pretrained(str(directory), safe_serialization=True)
        tokenizer.save_pretrained(str(directory))

    facts = provenance(run, base, dataset)
    return publish_model(save, run.files.workspace, config.output.name, config.job.uid, facts)


def _metrics(run: Run, trainer: Any, dataset: PreparedDataset, seconds: float) -> dict[str, Any]:
    totals = trainer.totals
    losses = {"loss": totals.loss, "evalLoss": totals.eval_loss}
    return {
        **{name: value for name, value in losses.items() if value is not None},
        "tokens": totals.tokens,
        "examples": len(dataset.train),
        "trainSeconds": round(seconds, 2),
        "peakMemoryBytes": peak_memory_bytes(uses_gpu=run.config.topology.uses_gpu),
    }
