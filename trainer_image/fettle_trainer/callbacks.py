"""What every training loop of transformers does for us: report, save, stop, and refuse numbers that are not finite."""

import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from fettle_schema.status import Checkpoint
from fettle_schema.vocabulary import ExitCode, Stage
from fettle_trainer import checkpoints
from fettle_trainer.devices import peak_memory_bytes
from fettle_trainer.distributed import Processes
from fettle_trainer.failures import NON_FINITE_HINT, TrainerFailure
from fettle_trainer.progress import ProgressLog
from fettle_trainer.stopping import StopFlag, StopRequested
from fettle_trainer.training_run import Run

HEARTBEAT_SECONDS = 10.0


class Totals:
    """Numbers of a run that survive a restart (TRL's own token counter does not)."""

    def __init__(self, tokens: int = 0) -> None:
        self.tokens = tokens
        self.own_tokens = 0
        """Of this process since the last step; after it they are in `tokens`, with those of all others."""
        self.loss: float | None = None
        self.eval_loss: float | None = None
        self.eval_step = -1
        """When `eval_loss` was measured."""


class GuardedTraining:
    """Mixed into a TRL trainer: counts tokens, and ends the run at the first loss that is not finite."""

    totals: Totals

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        loss = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        if not torch.isfinite(loss):
            raise non_finite("the loss", self.state.global_step + 1)  # type: ignore[attr-defined]
        self.totals.own_tokens += count_tokens(inputs)
        return loss

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """TRL writes a card with local paths into each checkpoint; we publish our own provenance."""


def count_tokens(inputs: dict[str, Any]) -> int:
    """Tokens of a micro-batch without padding; both answers of a pair count, KTO's mismatched ones do not."""
    positions = inputs.get("position_ids")
    if positions is not None:  # packed: an example begins where a 0 is followed by a 1, padding is all zeros
        return int((positions > 0).sum() + ((positions[:, :-1] == 0) & (positions[:, 1:] == 1)).sum())
    masks = ("attention_mask", "chosen_attention_mask", "rejected_attention_mask")
    return sum(int(inputs[name].sum()) for name in masks if name in inputs)


class GuardCallback(TrainerCallback):  # type: ignore[misc]
    """Ends the run before a gradient that is not finite reaches the weights."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        gradients = [parameter.grad for parameter in kwargs["model"].parameters() if parameter.grad is not None]
        norms = torch.stack([norm.float() for norm in torch._foreach_norm(gradients)]) if gradients else torch.zeros(1)
        if not torch.isfinite(norms).all():
            raise non_finite("the gradient", state.global_step + 1)


class AgreementCallback(TrainerCallback):  # type: ignore[misc]
    """Lets all processes know the same after each step: tokens, and whether to stop. It must be the first callback."""

    def __init__(self, processes: Processes, totals: Totals, stop: StopFlag) -> None:
        self._processes = processes
        self._totals = totals
        self._stop = stop

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        asked, tokens = self._processes.add_up(int(self._stop.is_requested), self._totals.own_tokens)
        self._stop.agree(is_requested=asked > 0)
        self._totals.own_tokens = 0
        self._totals.tokens += tokens

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        (asked,) = self._processes.add_up(int(self._stop.is_requested))
        self._stop.agree(is_requested=asked > 0)


class CheckpointCallback(TrainerCallback):  # type: ignore[misc]
    """Completes each checkpoint with a manifest, reports it, keeps the last ones, and stops the run when asked to."""

    def __init__(self, run: Run, totals: Totals) -> None:
        self._spec = run.config.checkpoint
        self._files = run.files
        self._progress = run.progress
        self._processes = run.processes
        self._stop = run.stop
        self._totals = totals

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._stop.is_agreed and state.global_step < state.max_steps:
            control.should_training_stop = True
            control.should_evaluate = False
            control.should_save = control.should_save or self._spec.on_termination

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._stop.is_agreed and state.global_step < state.max_steps:
            control.should_evaluate = False

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # An evaluation may be long. The step before it is saved by the method, outside transformers' loop.
        if self._stop.is_agreed and self._stop.is_training:
            raise StopRequested

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._processes.wait()  # each writes a file of its own, and the manifest comes last
        if self._processes.is_first:
            self.finish(Path(args.output_dir, f"checkpoint-{state.global_step}"), state.global_step)

    def finish(self, path: Path, step: int) -> None:
        """Complete and report the checkpoint that transformers has written to `path`."""
        totals = self._totals
        checkpoints.complete(path, step, totals.tokens, totals.eval_loss if totals.eval_step == step else None)
        checkpoints.prune(path.parent, self._spec.keep_last)
        checkpoint = Checkpoint(
            name=path.name,
            step=step,
            attempt=self._files.attempt,
            path=self._files.inside(path),
            created_at=datetime.now(UTC),
        )
        self._progress.write(kind="checkpoint", step=step, checkpoint=checkpoint)
        print(f"checkpoint: {checkpoint.path}", flush=True)


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Reports what transformers logs, with speed and time left, and a sign of life between two logs."""

    def __init__(self, progress: ProgressLog, totals: Totals, *, uses_gpu: bool) -> None:
        self._progress = progress
        self._totals = totals
        self._uses_gpu = uses_gpu
        self._begin = self._last_log = self._last_report = time.monotonic()
        self._first_step = self._counted_from = 0
        self._first_seconds: float | None = None
        self._tokens_at_log = totals.tokens
        self._evaluated = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begin = self._last_log = self._last_report = time.monotonic()
        self._first_step = self._counted_from = state.global_step
        self._progress.enter(Stage.TRAINING, step=state.global_step, total_steps=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._progress.enter(Stage.TRAINING)
        is_first = state.global_step == self._first_step + 1
        if is_first and state.max_steps > state.global_step:
            self._first_seconds = time.monotonic() - self._begin
            self._begin, self._counted_from = time.monotonic(), state.global_step
        if not control.should_log and (is_first or time.monotonic() - self._last_report >= HEARTBEAT_SECONDS):
            self._report(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs is None or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise non_finite("the loss", state.global_step)
        self._totals.loss = loss
        now, tokens = time.monotonic(), self._totals.tokens
        speed = (tokens - self._tokens_at_log) / max(now - self._last_log, 1e-9)
        self._last_log, self._tokens_at_log = now, tokens
        self._report(
            state,
            loss=loss,
            learning_rate=logs.get("learning_rate"),
            grad_norm=_finite(logs.get("grad_norm")),
            tokens_per_second=round(speed, 1),
        )
        rate = logs.get("learning_rate") or 0.0
        print(
            f"step {state.global_step}/{state.max_steps}  loss {loss:.4f}  lr {rate:.2e}  {speed:.0f} tok/s", flush=True
        )

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._progress.stage is Stage.TRAINING:
            self._evaluated = 0
            self._progress.enter(Stage.EVALUATING, step=state.global_step)
        self._evaluated += 1
        if time.monotonic() - self._last_report >= HEARTBEAT_SECONDS:
            self._last_report = time.monotonic()
            self._progress.write(kind="stage", message=f"{self._evaluated} batches evaluated")

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        loss = _finite((metrics or {}).get("eval_loss"))
        if loss is not None:
            self._totals.eval_loss, self._totals.eval_step = loss, state.global_step
            self._progress.write(kind="evaluation", step=state.global_step, epoch=_finite(state.epoch), eval_loss=loss)
            print(f"evaluation at step {state.global_step}: loss {loss:.4f}", flush=True)
        self._progress.enter(Stage.TRAINING)

    def _report(self, state: Any, **numbers: Any) -> None:
        self._last_report = time.monotonic()
        done, rest = state.global_step - self._counted_from, state.max_steps - state.global_step
        # The first step claims memory and chooses kernels: it tells nothing of the others, once there are others.
        seconds = (self._last_report - self._begin) / done if done else self._first_seconds
        eta = None if seconds is None else seconds * rest
        self._progress.write(
            kind="step",
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=_finite(state.epoch),
            tokens=self._totals.tokens,
            eta_seconds=None if eta is None else round(eta, 1),
            peak_memory_bytes=peak_memory_bytes(uses_gpu=self._uses_gpu),
            **numbers,
        )


def non_finite(what: str, step: int) -> TrainerFailure:
    """The failure of a run whose numbers have left the range of floating point."""
    return TrainerFailure(ExitCode.NON_FINITE, f"{what} of step {step} is not finite", NON_FINITE_HINT)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
