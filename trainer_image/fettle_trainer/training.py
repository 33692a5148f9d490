"""What every training method does, read top to bottom: data, model, trainer, save. What differs is a TrainingMethod."""

import functools
import gc
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fettle_data.prepare import PreparedDataset
from fettle_data.templates import template_text
from fettle_data.token_statistics import token_statistics
from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.defaults import DEFAULT_MAX_LENGTH
from fettle_schema.hyperparameters import GPU_OPTIMIZERS
from fettle_schema.run import RunConfig, RunResult
from fettle_schema.vocabulary import ExitCode, Stage
from fettle_trainer import checkpoints
from fettle_trainer.arguments import common_arguments
from fettle_trainer.devices import Precision, choose_precision, require_device
from fettle_trainer.diagnosis import is_out_of_memory
from fettle_trainer.encoded_dataset import write_dataset
from fettle_trainer.encoding import EncodedRow, Encoder, encode_all
from fettle_trainer.estimates import memory_sentence
from fettle_trainer.examples import load_template_tokenizer, note_statistics, prepare_examples
from fettle_trainer.failures import MEMORY_HINT, TrainerFailure, configuration_failure
from fettle_trainer.micro_batch import MicroBatch, micro_batch, reduction, remember
from fettle_trainer.models import BaseModel, loaded_bytes, resolve_base_model
from fettle_trainer.preparation import load_reference, prepare_model
from fettle_trainer.progress import loading
from fettle_trainer.publication import publish
from fettle_trainer.starting_point import find_start
from fettle_trainer.stopping import StopRequested
from fettle_trainer.training_run import RestartRequested, Run

OPTIONAL = ("bitsandbytes", "triton", "wandb")
"""Libraries that a run can do without."""


class TrainingMethod:
    """What one method does differently from the others."""

    smallest_batch = 1
    """Examples that a micro-batch must hold."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.settings = config.hyperparameters
        self.max_length = config.hyperparameters.max_length or DEFAULT_MAX_LENGTH
        self.rejected_template = template_text(config.dataset.template, "rejected") if config.dataset else None
        """Chat template of answers that are not wanted, where it is another one."""
        started_from = config.start.adapter_path if config.start is not None else None
        self.is_fresh_adapter = config.adapter.type is not AdapterType.NONE and started_from is None

    @property
    def needs_reference(self) -> bool:
        """Whether a frozen copy of the base model is needed beside the one that is trained."""
        return False

    def encoder(self, tokenizer: Any) -> Encoder:
        """Turns examples into rows."""
        raise NotImplementedError

    def arrange(self, rows: Iterator[EncodedRow], batch: MicroBatch) -> Iterator[EncodedRow]:
        """The rows as the trainer reads them."""
        return rows

    def build_trainer(self, arguments: dict[str, Any], parts: dict[str, Any]) -> Any:
        """TRL's trainer, from the arguments common to all and the parts that all are given."""
        raise NotImplementedError

    @staticmethod
    def guarded(trainer: type) -> Any:
        """TRL's trainer with our guard over numbers, tokens and files."""
        from fettle_trainer.callbacks import GuardedTraining

        return type(trainer.__name__, (GuardedTraining, trainer), {})


@dataclass
class TrainingParts:
    """What a trainer is made of."""

    dataset: PreparedDataset
    base: BaseModel
    precision: Precision
    batch: MicroBatch
    tokenizer: Any
    train: Any
    evaluation: Any
    model: Any
    reference: Any


def train(run: Run, method: TrainingMethod) -> RunResult:
    """Train and publish. Raises what ends the run otherwise; see `diagnosis`."""
    encoded = run.files.attempt_directory / f"encoded-{run.processes.rank}"
    shutil.rmtree(encoded, ignore_errors=True)
    try:
        parts = load_parts(run, method, encoded)
        resume = _resume(run)
        trainer = assemble(run, method, parts, resume)
        begin = time.monotonic()
        try:
            _train(run, trainer, resume)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            _shrink(run, method, parts, error)
        seconds = time.monotonic() - begin
        if not run.processes.is_first:
            return RunResult(exit_code=int(ExitCode.DONE), step=run.step)
        run.progress.enter(Stage.SAVING)
        return publish(run, trainer, parts.base, parts.dataset, parts.tokenizer, seconds)
    finally:
        shutil.rmtree(encoded, ignore_errors=True)


def load_parts(run: Run, method: TrainingMethod, encoded: Path) -> TrainingParts:
    """Dataset, tokenizer and model; encoded examples are written below `encoded`."""
    config, progress, uses_gpu = run.config, run.progress, run.config.topology.uses_gpu
    progress.enter(Stage.LOADING_DATASET)
    dataset = prepare_examples(run)

    progress.enter(Stage.LOADING_MODEL)
    base = resolve_base_model(config.base_model, run.files.workspace)
    import_libraries(run)
    require_device(uses_gpu=uses_gpu)
    run.processes.meet(uses_gpu=uses_gpu, timeout_seconds=_patience_seconds(run))
    batch = micro_batch(method.settings, run.files.directory)
    if (note := reduction(method.settings, batch)) is not None:
        progress.warn(note)
    with loading(progress, loaded_bytes):
        tokenizer = load_template_tokenizer(run, base)
        train = _encode(run, method, dataset.train, tokenizer, batch, encoded / "training")
        evaluation = _encode(run, method, dataset.evaluation, tokenizer, batch, encoded / "evaluation")
        precision = choose_precision(method.settings.precision, uses_gpu=uses_gpu)
        model = prepare_model(run, base, precision)
        reference = load_reference(run, base, precision) if method.needs_reference else None
    return TrainingParts(dataset, base, precision, batch, tokenizer, train, evaluation, model, reference)


def import_libraries(run: Run) -> None:
    """Import torch and what stands on it, without what this run does not need: OPTIONAL costs seconds."""
    config = run.config
    optimizer = config.hyperparameters.optimizer
    if optimizer in GPU_OPTIMIZERS and not config.topology.uses_gpu:
        raise configuration_failure("spec.hyperparameters.optimizer", f"{optimizer} needs a GPU", "Use adamw_torch.")
    if optimizer not in GPU_OPTIMIZERS and config.adapter.type is not AdapterType.QLORA:
        _leave_out("bitsandbytes")
    if not config.topology.uses_gpu:
        _leave_out("triton")
    _leave_out("wandb")  # a tracker that wants it has imported it before
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # its version is pinned
    with _collector_at_rest(), _packages_listed_once():
        import peft  # noqa: F401 - here, not in the middle of the work
        import transformers
        import trl.trainer.utils  # noqa: F401 - the same
        from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_warning()
    transformers.set_seed(config.hyperparameters.seed)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Imports make half a million objects that stay: looking for garbage among them takes a tenth of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _packages_listed_once() -> Iterator[None]:
    """transformers and trl each read the metadata of every installed package."""
    list_packages = metadata.packages_distributions
    metadata.packages_distributions = functools.cache(list_packages)
    try:
        yield
    finally:
        metadata.packages_distributions = list_packages


def _leave_out(library: str) -> None:
    """Python's way to say that it is not installed; one that is loaded stays."""
    sys.modules.setdefault(library, None)  # type: ignore[arg-type]


def _encode(
    run: Run, method: TrainingMethod, examples: Sequence[Any], tokenizer: Any, batch: MicroBatch, path: Path
) -> Any:
    """The examples as a dataset on disk; None if there are none."""

    def write(rows: Iterator[EncodedRow]) -> Any:
        return write_dataset(method.arrange(rows, batch), path.with_suffix(".arrow"))

    return encode(run, path.name, examples, method.encoder(tokenizer), method.max_length, write)


def encode(
    run: Run,
    part: str,
    examples: Sequence[Any],
    encoder: Encoder,
    max_length: int,
    keep: Callable[[Iterator[EncodedRow]], Any],
) -> Any:
    """Give the rows of all examples to `keep`, which answers None if there were none; say what was noticed.

    `part` is training or evaluation. TrainerFailure (65) if there are examples, and nothing is left of any.
    """
    rows = keep(encode_all(examples, encoder))
    notes, warn = encoder.notes, run.progress.warn
    if notes.lengths:
        found = token_statistics(notes.lengths, max_length)
        note_statistics(run, part, found.to_json())
        print(f"{part}: {found.example_count} examples, tokens p50 {found.p50}, p95 {found.p95}, max {found.max}")
    if notes.truncated:
        warn(f"{notes.truncated} of {len(examples)} {part} examples are cut at maxLength")
    if notes.dropped:
        warn(f"{notes.dropped} of {len(examples)} {part} examples are left out: no answer is left of them")
    if notes.last_turn_only:
        warn(f"{notes.last_turn_only} {part} conversations carry loss on their last answer only")
    if examples and rows is None:
        raise TrainerFailure(
            ExitCode.DATASET,
            f"no {part} example has an answer within maxLength ({max_length} tokens)",
            "Raise spec.hyperparameters.maxLength or shorten the examples.",
        )
    return rows


def _patience_seconds(run: Run) -> float:
    """How long processes wait for each other. Shorter waits end by the supervisor, which sees what is stalled."""
    return max(run.config.limits.startup_timeout_seconds, run.config.limits.stall_timeout_seconds, 60.0)


def _resume(run: Run) -> checkpoints.CompleteCheckpoint | None:
    resume = None
    if run.processes.is_first:
        resume = find_start(run.files, run.config.start, run.progress.warn)
        checkpoints.remove_unfinished(run.files.checkpoints)
    resume = run.processes.from_first(resume)
    if resume is not None:
        run.started_from_step = run.step = resume.step
        print(f"resuming from {run.files.inside(resume.path)}", flush=True)
    return resume


def assemble(
    run: Run, method: TrainingMethod, parts: TrainingParts, resume: checkpoints.CompleteCheckpoint | None
) -> Any:
    """The trainer, ready to train."""
    from transformers import PrinterCallback

    from fettle_trainer import cpu_head, fused_lora
    from fettle_trainer.callbacks import (
        AgreementCallback,
        CheckpointCallback,
        GuardCallback,
        ProgressCallback,
        Totals,
    )

    uses_gpu = run.config.topology.uses_gpu
    if not uses_gpu:
        cpu_head.install(run.progress.warn)
    totals = Totals(resume.tokens if resume is not None else 0)
    arguments = common_arguments(run, parts.precision, parts.batch, has_evaluation=parts.evaluation is not None)
    callbacks = [
        AgreementCallback(run.processes, totals, run.stop),
        GuardCallback(),
        ProgressCallback(run.progress, totals, uses_gpu=uses_gpu),
        CheckpointCallback(run, totals),
    ]
    given = {
        "model": parts.model,
        "train_dataset": parts.train,
        "eval_dataset": parts.evaluation,
        "processing_class": parts.tokenizer,
        "callbacks": callbacks,
    }
    if parts.reference is not None:
        given["ref_model"] = parts.reference
    trainer = method.build_trainer(arguments, given)
    if not uses_gpu:
        fused_lora.install(trainer.model)
    trainer.remove_callback(PrinterCallback)
    trainer.totals = totals
    return trainer


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


def _shrink(run: Run, method: TrainingMethod, parts: TrainingParts, error: BaseException) -> None:
    """Start again with a smaller micro-batch, or give up: raises in either case."""
    batch = parts.batch
    smaller = batch.smaller(method.smallest_batch)
    if smaller is None:
        raise TrainerFailure(
            ExitCode.OUT_OF_MEMORY,
            f"out of memory with a micro-batch of {batch.size}, the smallest that {run.config.method} can use; "
            f"{memory_sentence(run.config, parts.base, batch.size)}: {str(error)[:300]}",
            MEMORY_HINT,
        ) from error
    remember(smaller, run.files.directory)
    print(f"out of memory with a micro-batch of {batch.size}: {str(error)[:300]}", file=sys.stderr, flush=True)
    raise RestartRequested from error
