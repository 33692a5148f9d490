"""What an estimate needs from the workspace, and an estimate as people read it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle_local.answers import AnswerError, base_model_directory
from fettle_schema.estimate.errors import EstimateError
from fettle_schema.estimate.job_estimate import JobEstimate
from fettle_schema.estimate.known_models import known_config
from fettle_schema.progress import duration
from fettle_schema.stored_dataset import DESCRIPTION_FILE
from fettle_schema.training_job import BaseModelSpec, TrainingJobSpec

_GIB = 2**30
_WORDS = {
    "weights": "weights of the base model",
    "adapter": "weights of the adapter",
    "reference": "reference model",
    "optimizer": "optimizer state",
    "gradientBuckets": "gradient buckets (several GPUs)",
    "gradients": "gradients",
    "activations": "activations",
    "logits": "head and logits",
    "optimizerStep": "optimizer at work",
    "fragmentation": "fragmentation",
    "context": "libraries (CUDA context, or Python)",
}


def model_config(model: BaseModelSpec, workspace: Path, given: Path | None) -> tuple[Mapping[str, Any], str]:
    """The model's config.json and where it was found: `given`, the workspace, or the bundled facts."""
    name = model.path or model.id or ""
    if given is not None:
        return _read(given), str(given)
    try:
        directory = base_model_directory(workspace, name)
    except AnswerError:
        directory = None
    if directory is not None and (directory / "config.json").is_file():
        return _read(directory / "config.json"), "the workspace"
    known = known_config(model.id) if model.id else None
    if known is not None:
        return known, "bundled configuration facts"
    raise EstimateError(
        f"spec.baseModel: {name!r} is not in the workspace, and its configuration is not bundled; "
        "give the model's config.json by --config FILE, or put the model into the workspace"
    )


def job_facts(spec: TrainingJobSpec, workspace: Path, given: int | None) -> int | None:
    """How many examples the dataset has, at most; None where that takes more than reading a description."""
    count, dataset = given, spec.dataset
    if dataset is None:
        return count
    if count is None and dataset.source.inline is not None:
        count = len(dataset.source.inline.examples)
    if count is None and dataset.source.workspace is not None:
        count = _described(workspace / dataset.source.workspace.path)
    if count is None or dataset.max_examples is None:
        return count if count is not None else dataset.max_examples
    return min(count, dataset.max_examples)


def estimate_text(name: str, source: str, spec: TrainingJobSpec, found: JobEstimate) -> str:
    """A table for people."""
    memory, settings = found.memory, found.settings
    model = spec.base_model.id or spec.base_model.path
    quantized = f" {settings.quantization_bits} bits" if settings.quantization_bits else ""
    adapter = {"none": "full"}.get(settings.adapter.value, settings.adapter.value) + quantized
    trained = f"{found.trained_parameters:,} of {found.shape.parameters:,} parameters"
    lines = [
        f"{name}: {settings.method.value}, {adapter}, {model} ({source})",
        f"trained: {trained}; micro-batch {settings.batch_size} × {settings.length} tokens, "
        f"checkpointing {'on' if settings.checkpointing else 'off'}, {settings.precision}",
        "",
        f"MEMORY of each {'GPU' if settings.device == 'gpu' else 'process'}",
    ]
    lines += [f"  {_WORDS.get(part, part):<38}{size / _GIB:>9.2f} GiB" for part, size in memory.parts.items()]
    lines += [
        f"  {'expected':<38}{memory.expected / _GIB:>9.2f} GiB   ({memory.low / _GIB:.2f} to {memory.high / _GIB:.2f}, "
        f"confidence {memory.confidence})",
        f"  highest at: {memory.moment}",
        *(f"  note: {note}" for note in memory.notes),
    ]
    return "\n".join([*lines, *_advice_lines(found), *_time_lines(found)])


def _advice_lines(found: JobEstimate) -> list[str]:
    advice = found.advice
    if advice is None:
        return []
    verdict = "fits" if advice.fits else "might fit, without reserve" if advice.might_fit else "does not fit"
    lines = ["", f"ON {advice.gpu}", f"  {verdict}; largest micro-batch: {advice.largest_batch}"]
    if advice.changes:
        lines.append(f"  to make it fit: {'; '.join(advice.changes)}")
    elif not advice.fits:
        lines.append("  no change of settings that is known here makes it fit")
    lines.append(f"  smallest sufficient GPU: {advice.smallest_gpu or 'none of the table'}")
    return lines


def _time_lines(found: JobEstimate) -> list[str]:
    if found.advice is None:
        return []
    time = found.duration
    if time is None:
        return ["  time: give the number of examples by --examples, or hyperparameters.maxSteps"]
    lines = [
        f"  time: {duration(time.expected)} ({duration(time.low)} to {duration(time.high)}), {time.tokens:,} tokens at "
        f"{time.speed.expected:,.0f} in a second",
        f"  {time.speed.label}",
    ]
    if found.cost is not None:
        amount = f", cost {found.cost.amount:,.2f}" if found.cost.amount is not None else ""
        lines.append(
            f"  GPU-hours: {found.cost.gpu_hours:.2f} ({found.cost.gpu_hours_low:.2f} to "
            f"{found.cost.gpu_hours_high:.2f}){amount}"
        )
    return lines


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EstimateError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise EstimateError(f"{path}: is no JSON object")
    return found


def _described(directory: Path) -> int | None:
    """`exampleCount` of the newest version's dataset.json."""
    versions = sorted(directory.glob(f"v*/{DESCRIPTION_FILE}"), key=lambda path: int(path.parent.name[1:] or 0))
    for path in (directory / DESCRIPTION_FILE, *reversed(versions)):
        try:
            count = json.loads(path.read_text(encoding="utf-8")).get("exampleCount")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(count, int) and count > 0:
            return count
    return None
