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
        """About half, so that size × accumulation stays the same; None if that is below `smallest`."""
        examples = self.size * self.accumulation
        size = next((size for size in range(self.size // 2, smallest - 1, -1) if examples % size == 0), None)
        return None if not size else MicroBatch(size, examples // size)


def micro_batch(settings: Hyperparameters, directory: Path) -> MicroBatch:
    """What the settings say, or what an earlier process of the same job has found to fit."""
    asked = MicroBatch(settings.batch_size, settings.gradient_accumulation_steps)
    try:
        found = MicroBatch(**json.loads((directory / FILE).read_text(encoding="utf-8")))
        is_same_work = found.size * found.accumulation == asked.size * asked.accumulation
    except (OSError, ValueError, TypeError):
        return asked
    return found if is_same_work and 0 < found.size < asked.size else asked


def remember(batch: MicroBatch, directory: Path) -> None:
    """For the next process of this job."""
    write_json(directory / FILE, asdict(batch))
