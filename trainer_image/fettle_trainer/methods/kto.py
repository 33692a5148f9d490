"""Kahneman-Tversky optimization: answers that are labelled good or bad, without pairs. TRL's KTOTrainer.

The KL term is estimated from prompts with the answers of other prompts of the micro-batch, so that one must hold at
least two examples, and their order is that of the dataset.
"""

from collections.abc import Iterator
from typing import Any

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.run import RunResult
from fettle_trainer.encoded_dataset import with_mismatched_completions
from fettle_trainer.encoding import EncodedRow, Encoder
from fettle_trainer.micro_batch import MicroBatch
from fettle_trainer.preference_encoding import LabelledEncoder
from fettle_trainer.reference import as_they_are, settle_reference
from fettle_trainer.training import TrainingMethod, train
from fettle_trainer.training_run import Run


def run(run: Run) -> RunResult:
    """Train and publish."""
    return train(run, KahnemanTverskyOptimization(run.config))


class KahnemanTverskyOptimization(TrainingMethod):
    """Gains and losses against a reference point, weighted apart."""

    smallest_batch = 2

    @property
    def needs_reference(self) -> bool:
        return self.config.adapter.type is AdapterType.NONE

    def encoder(self, tokenizer: Any) -> Encoder:
        return LabelledEncoder(tokenizer, self.max_length, self.rejected_template)

    def arrange(self, rows: Iterator[EncodedRow], batch: MicroBatch) -> Iterator[EncodedRow]:
        return with_mismatched_completions(rows, batch.size)

    def build_trainer(self, arguments: dict[str, Any], parts: dict[str, Any]) -> Any:
        from trl import KTOConfig, KTOTrainer

        config = KTOConfig(
            **arguments,
            beta=self.settings.beta,
            desirable_weight=self.settings.desirable_weight,
            undesirable_weight=self.settings.undesirable_weight,
            disable_dropout=False,  # it would silence spec.adapter.dropout
        )
        trainer = as_they_are(self.guarded(KTOTrainer))(args=config, **parts)
        settle_reference(trainer.model, is_fresh=self.is_fresh_adapter)
        return trainer


METHOD = KahnemanTverskyOptimization
