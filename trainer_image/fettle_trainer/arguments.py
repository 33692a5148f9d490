"""Hyperparameters of the schema → arguments that all trainers of TRL have. What only one method has is in its file."""

from typing import Any

from fettle_trainer.devices import Precision
from fettle_trainer.micro_batch import MicroBatch
from fettle_trainer.training_run import Run


def common_arguments(run: Run, precision: Precision, batch: MicroBatch, *, has_evaluation: bool) -> dict[str, Any]:
    """Keyword arguments of a TrainingArguments class of TRL."""
    settings, uses_gpu = run.config.hyperparameters, run.config.topology.uses_gpu
    checkpointing = uses_gpu if settings.gradient_checkpointing is None else settings.gradient_checkpointing
    # A warm-up below 1 is a share of all steps, for transformers.
    warmup = settings.warmup_steps if settings.warmup_steps is not None else min(settings.warmup_ratio or 0.0, 0.999999)
    evaluation = "no" if not has_evaluation else "steps" if settings.evaluation_steps else "epoch"
    return {
        "output_dir": str(run.files.checkpoints),
        "num_train_epochs": settings.epochs or 3.0,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": batch.size,
        "per_device_eval_batch_size": min(settings.eval_batch_size or settings.batch_size, batch.size),
        "gradient_accumulation_steps": batch.accumulation,
        "learning_rate": settings.learning_rate,
        "optim": settings.optimizer or "adamw_torch",
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": warmup,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "adam_beta1": settings.adam_beta1,
        "adam_beta2": settings.adam_beta2,
        "adam_epsilon": settings.adam_epsilon,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": not uses_gpu,
        "gradient_checkpointing": checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if checkpointing else None,
        "max_length": None,  # the examples are cut already
        "remove_unused_columns": False,  # and hold nothing else
        "eval_strategy": evaluation,
        "eval_steps": settings.evaluation_steps if evaluation == "steps" else None,
        "save_strategy": "steps",
        "save_steps": run.config.checkpoint.every_steps,
        "save_total_limit": None,  # old ones go when the new one is complete, not before
        "logging_steps": settings.logging_steps,
        "logging_nan_inf_filter": False,
        "prediction_loss_only": True,
        "dataloader_pin_memory": uses_gpu,
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "report_to": [],
    }
