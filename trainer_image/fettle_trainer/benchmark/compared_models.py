"""What is scored: the base model, and what was trained on it, an adapter or a job's checkpoint, if one is named."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_schema.layout import ADAPTER_CONFIG_FILE
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.devices import Precision
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.models import BaseModel, load_causal_model
from fettle_trainer.publish import directory_digest
from fettle_trainer.starting_point import find_start, published_adapter
from fettle_trainer.training_run import Run


@dataclass(frozen=True)
class Trained:
    """Files of what was trained on the base model."""

    directory: Path
    path: str
    """The same inside the workspace."""
    digest: str

    @property
    def is_adapter(self) -> bool:
        """Or else a full model."""
        return (self.directory / ADAPTER_CONFIG_FILE).is_file()


class ComparedModels:
    """The base model and what was trained on it, in memory together."""

    def __init__(self, base: Any, trained: Any | None, *, shares_weights: bool) -> None:
        self._base = base
        self._shares_weights = shares_weights
        self.trained = trained

    @contextmanager
    def base(self) -> Iterator[Any]:
        """The base model, with the adapter switched off."""
        if self.trained is not None and self._shares_weights:
            with self.trained.disable_adapter():
                yield self.trained
        else:
            yield self._base


def find_trained(run: Run) -> Trained | None:
    """What `spec.startFrom` names; TrainerFailure (64) if it is not there."""
    start = run.config.start
    if start is None:
        return None
    if start.adapter_path is not None:
        directory = published_adapter(run.files.workspace, start.adapter_path)
        return Trained(directory, start.adapter_path, directory_digest(directory))
    checkpoint = find_start(run.files, start, run.progress.warn)
    if checkpoint is None:
        return None
    return Trained(checkpoint.path, run.files.inside(checkpoint.path), directory_digest(checkpoint.path))


def load_models(run: Run, base: BaseModel, trained: Trained | None, precision: Precision) -> ComparedModels:
    """Both models, ready to answer, on the device that the job asks for."""
    attention, uses_gpu = run.config.hyperparameters.attention, run.config.topology.uses_gpu
    device = "cuda" if uses_gpu else "cpu"
    model = load_causal_model(base, precision, attention).to(device).eval()
    if trained is None:
        return ComparedModels(model, None, shares_weights=False)
    if trained.is_adapter:
        _warn_of_another_base(run, base, trained)
        return ComparedModels(model, _with_adapter(model, trained), shares_weights=True)
    files = BaseModel(trained.path, trained.directory, trained.digest)
    full = load_causal_model(files, precision, attention).to(device).eval()
    return ComparedModels(model, full, shares_weights=False)


def _warn_of_another_base(run: Run, base: BaseModel, trained: Trained) -> None:
    """A checkpoint names its base by a path of the machine that wrote it, so only published adapters are compared."""
    config = json.loads((trained.directory / ADAPTER_CONFIG_FILE).read_text(encoding="utf-8"))
    named = config.get("base_model_name_or_path")
    start = run.config.start
    if start is not None and start.adapter_path is not None and named != base.name:
        run.progress.warn(f"{trained.path} was trained on {named!r}, and is scored on {base.name!r}")


def _with_adapter(model: Any, trained: Trained) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(trained.directory)).eval()
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainerFailure(
            ExitCode.CONFIGURATION,
            f"spec.startFrom: {trained.path!r} does not fit the base model: {str(error)[:500]}",
            "Give the base model that it was trained on in spec.baseModel.",
        ) from error
