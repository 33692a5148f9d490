"""Smaller micro-batches after running out of memory. The global batch stays, so that training stays the same."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fettle_schema.hyperparameters import Hyperparameters
from fettle_trainer.atomic_file import write_json

FILE = "micro-batch.json"
"""In the job's directory: the next attempt begins with what fitted."""


@dataclass(frozen=True)
class MicroBatch:
    """Examples that are in memory at once, and how many times before a step."""

    size: int
    accumulation: int

    def smaller(self, smallest: int) -> "MicroBatch | None":
        """About half, so that size × accumulation stays the same; None if there is nothing from `smallest` on."""
        examples = self.size * self.accumulation
        sizes = [size for size in range(smallest, self.size) if examples % size == 0]
        if not sizes:
            return None
        size = max((size for size in sizes if size <= self.size // 2), default=sizes[0])
        return MicroBatch(size, examples // size)


def micro_batch(settings: Hyperparameters, directory: Path) -> MicroBatch:
    """What the settings say, or what an earlier process of the same job has found to fit."""
    asked = MicroBatch(settings.batch_size, settings.gradient_accumulation_steps)
    try:
        found = MicroBatch(**json.loads((directory / FILE).read_text(encoding="utf-8")))
        is_same_work = found.size * found.accumulation == asked.size * asked.accumulation
    except (OSError, ValueError, TypeError):
        return asked
    return found if is_same_work and 0 < found.size < asked.size else asked


def reduction(settings: Hyperparameters, batch: MicroBatch) -> str | None:
    """What a person should know about `batch`, if it is not what the settings say."""
    if batch.size == settings.batch_size:
        return None
    return (
        f"batchSize {settings.batch_size} does not fit into memory: the run goes on with batchSize {batch.size} and "
        f"gradientAccumulationSteps {batch.accumulation}, which is the same training"
    )


def remember(batch: MicroBatch, directory: Path) -> None:
    """For the next process of this job."""
    write_json(directory / FILE, asdict(batch))
