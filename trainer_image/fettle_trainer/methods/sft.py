"""Supervised fine-tuning of a LoRA adapter, over TRL's SFTTrainer: data, model, trainer, save."""

import sys
import time
from pathlib import Path
from typing import Any

from fettle_data.prepare import PreparedDataset, prepare
from fettle_schema.layout import ADAPTERS
from fettle_schema.run import RunResult
from fettle_schema.status import OutputStatus
from fettle_schema.vocabulary import ExitCode, Stage
from fettle_trainer import checkpoints
from fettle_trainer.atomic_file import write_json
from fettle_trainer.devices import choose_precision, peak_memory_bytes, require_device
from fettle_trainer.encoding import EncodedExamples, encode_examples
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.models import BaseModel, load_causal_model, load_tokenizer, loaded_bytes, resolve_base_model
from fettle_trainer.progress import loading
from fettle_trainer.publish import PublishedArtifact, publish_adapter
from fettle_trainer.stopping import StopRequested
from fettle_trainer.training_run import Run

_BITSANDBYTES_OPTIMIZERS = frozenset({"adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"})


def run(run: Run) -> RunResult:
    """Train and publish. Raises what ends the run otherwise; see `diagnosis`."""
    config, progress, uses_gpu = run.config, run.progress, run.config.topology.uses_gpu
    settings = config.hyperparameters
    assert config.dataset is not None, "admission requires a dataset for this method"

    progress.enter(Stage.LOADING_DATASET)
    dataset = prepare(config.dataset, config.method, settings.seed, run.files.workspace)
    write_json(run.files.findings, dataset.findings.to_json())

    progress.enter(Stage.LOADING_MODEL)
    base = resolve_base_model(config.base_model, run.files.workspace)
    import_libraries(run)
    require_device(uses_gpu=uses_gpu)
    with loading(progress, loaded_bytes):
        tokenizer = load_tokenizer(base)
        train = _encode(run, dataset, tokenizer, "training")
        evaluation = _encode(run, dataset, tokenizer, "evaluation")
        precision = choose_precision(settings.precision, uses_gpu=uses_gpu)
        model = load_causal_model(base, precision, settings.attention)
    model = _add_adapter(run, model)

    resume = checkpoints.find_newest(run.files, progress.warn)
    checkpoints.remove_unfinished(run.files.checkpoints)
    if resume is not None:
        run.started_from_step = run.step = resume.step
        print(f"resuming from {run.files.inside(resume.path)}", flush=True)
    trainer = _build_trainer(run, model, tokenizer, train, evaluation, precision, resume)
    begin = time.monotonic()
    _train(run, trainer, resume)
    seconds = time.monotonic() - begin

    progress.enter(Stage.SAVING)
    published = _publish(run, trainer, base, dataset)
    print(f"published: {published.path}", flush=True)
    return _result(run, trainer, base, dataset, published, seconds)


def import_libraries(run: Run) -> None:
    """Import torch and what stands on it, without what this run does not need: bitsandbytes costs seconds."""
    if run.config.hyperparameters.optimizer not in _BITSANDBYTES_OPTIMIZERS:
        sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type] # Python's way to say: not here
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_warning()
    transformers.set_seed(run.config.hyperparameters.seed)


def _encode(run: Run, dataset: PreparedDataset, tokenizer: Any, part: str) -> EncodedExamples:
    settings = run.config.hyperparameters
    examples = dataset.train if part == "training" else dataset.evaluation
    encoded = encode_examples(examples, tokenizer, settings.max_length or 1024, settings.assistant_only_loss)
    if encoded.truncated:
        run.progress.warn(f"{encoded.truncated} of {len(examples)} {part} examples are cut at maxLength")
    if encoded.dropped:
        run.progress.warn(
            f"{encoded.dropped} of {len(examples)} {part} examples are left out: no answer is left of them"
        )
    if encoded.last_turn_only:
        run.progress.warn(f"{encoded.last_turn_only} {part} conversations carry loss on their last answer only")
    if examples and not encoded.rows:
        raise TrainerFailure(
            ExitCode.DATASET,
            f"no {part} example has an answer within maxLength ({settings.max_length} tokens)",
            "Raise spec.hyperparameters.maxLength or shorten the examples.",
        )
    return encoded


def _add_adapter(run: Run, model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    adapter = run.config.adapter
    wanted = adapter.target_modules or ["all-linear"]
    modules = linear_layer_names(model) if wanted == ["all-linear"] else wanted
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank or 16,
        lora_alpha=adapter.alpha or 32.0,
        lora_dropout=adapter.dropout or 0.0,
        target_modules=modules,
        modules_to_save=adapter.modules_to_save,
        bias=adapter.bias or "none",
        use_dora=bool(adapter.use_dora),
        use_rslora=bool(adapter.use_rslora),
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise TrainerFailure(
            ExitCode.CONFIGURATION,
            f"spec.adapter.targetModules: {wanted}: {str(error)[:500]}",
            f"Use all-linear, or names of this model's linear layers: {', '.join(linear_layer_names(model))[:500]}.",
        ) from error


def linear_layer_names(model: Any) -> list[str]:
    """Last parts of the names of all linear layers but the head: what `all-linear` means.

    PEFT would write out the full name of each layer, hundreds of them, into adapter_config.json.
    """
    import torch

    head = model.get_output_embeddings()
    layers = (
        name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module is not head
    )
    return sorted({name.rpartition(".")[2] for name in layers})


def _build_trainer(
    run: Run,
    model: Any,
    tokenizer: Any,
    train: EncodedExamples,
    evaluation: EncodedExamples,
    precision: str,
    resume: checkpoints.CompleteCheckpoint | None,
) -> Any:
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTTrainer

    from fettle_trainer import cpu_head
    from fettle_trainer.callbacks import CheckpointCallback, GuardCallback, GuardedTraining, ProgressCallback, Totals

    class Trainer(GuardedTraining, SFTTrainer):  # type: ignore[misc]
        pass

    uses_gpu = run.config.topology.uses_gpu
    if not uses_gpu:
        cpu_head.install(run.progress.warn)
    totals = Totals(resume.tokens if resume is not None else 0)
    trainer = Trainer(
        model=model,
        args=_arguments(run, precision, has_evaluation=bool(evaluation.rows)),
        train_dataset=Dataset.from_list(train.rows),
        eval_dataset=Dataset.from_list(evaluation.rows) if evaluation.rows else None,
        processing_class=tokenizer,
        callbacks=[
            GuardCallback(),
            ProgressCallback(run.progress, totals, uses_gpu=uses_gpu),
            CheckpointCallback(run.config.checkpoint, run.files, run.progress, totals, run.stop),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.totals = totals
    return trainer


def _arguments(run: Run, precision: str, *, has_evaluation: bool) -> Any:
    from trl import SFTConfig

    settings, uses_gpu = run.config.hyperparameters, run.config.topology.uses_gpu
    checkpointing = uses_gpu if settings.gradient_checkpointing is None else settings.gradient_checkpointing
    warmup = settings.warmup_steps if settings.warmup_steps is not None else min(settings.warmup_ratio or 0.0, 0.999999)
    evaluation = "no" if not has_evaluation else "steps" if settings.evaluation_steps else "epoch"
    return SFTConfig(
        output_dir=str(run.files.checkpoints),
        num_train_epochs=settings.epochs or 3.0,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.eval_batch_size or settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        optim=settings.optimizer or "adamw_torch",
        lr_scheduler_type=settings.scheduler,
        warmup_steps=warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        adam_beta1=settings.adam_beta1,
        adam_beta2=settings.adam_beta2,
        adam_epsilon=settings.adam_epsilon,
        neftune_noise_alpha=settings.neftune_noise_alpha,
        seed=settings.seed,
        data_seed=settings.seed,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not uses_gpu,
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        max_length=None,  # the examples are cut already
        dataset_kwargs={"skip_prepare_dataset": True},  # and encoded
        eval_strategy=evaluation,
        eval_steps=settings.evaluation_steps if evaluation == "steps" else None,
        save_strategy="steps",
        save_steps=run.config.checkpoint.every_steps,
        save_total_limit=None,  # old ones go when the new one is complete, not before
        logging_steps=settings.logging_steps,
        logging_nan_inf_filter=False,
        prediction_loss_only=True,
        dataloader_pin_memory=uses_gpu,
        disable_tqdm=True,
        report_to=[],
    )


def _train(run: Run, trainer: Any, resume: checkpoints.CompleteCheckpoint | None) -> None:
    run.stop.begin_training()
    try:
        trainer.train(resume_from_checkpoint=str(resume.path) if resume is not None else None)
    except StopRequested:  # during an evaluation, which is between two steps
        if run.config.checkpoint.on_termination:
            trainer._save_checkpoint(trainer.model, trial=None)
            trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)
    finally:
        run.step = trainer.state.global_step
    if run.step < trainer.state.max_steps:
        raise StopRequested


def _publish(run: Run, trainer: Any, base: BaseModel, dataset: PreparedDataset) -> PublishedArtifact:
    config = run.config

    def save(directory: Path) -> None:
        trainer.model.save_pretrained(str(directory), safe_serialization=True)

    provenance = {
        "job": {"name": config.job.name, "namespace": config.job.namespace, "uid": config.job.uid},
        "method": config.method.value,
        "baseModel": {"name": base.name, "revision": base.revision},
        "datasetDigest": dataset.digest,
        "adapter": config.adapter.manifest(),
        "hyperparameters": config.hyperparameters.manifest(),
    }
    return publish_adapter(
        save, run.files.workspace, ADAPTERS, config.output.name, base.name, config.job.uid, provenance
    )


def _result(
    run: Run, trainer: Any, base: BaseModel, dataset: PreparedDataset, published: PublishedArtifact, seconds: float
) -> RunResult:
    totals, lora = trainer.totals, trainer.model.peft_config["default"]
    tokens = {"tokens": totals.tokens, "examples": len(dataset.train)}
    losses = {"loss": totals.loss, "evalLoss": totals.eval_loss}
    peak = peak_memory_bytes(uses_gpu=run.config.topology.uses_gpu)
    return RunResult(
        exit_code=int(ExitCode.DONE),
        step=run.step,
        output=OutputStatus(kind="adapter", path=published.path, digest=published.digest),
        size_bytes=published.size_bytes,
        rank=lora.r,
        target_modules=sorted(lora.target_modules),
        base_model_revision=base.revision,
        dataset_digest=dataset.digest,
        metrics={
            **{name: value for name, value in losses.items() if value is not None},
            **tokens,
            "trainSeconds": round(seconds, 2),
            "peakMemoryBytes": peak,
        },
    )
