"""Supervised fine-tuning: the model learns to give the answers of the examples. TRL's SFTTrainer."""

from collections.abc import Iterator
from typing import Any

from fettle_schema.run import RunResult
from fettle_trainer.encoding import AnswerEncoder, EncodedRow, Encoder
from fettle_trainer.micro_batch import MicroBatch
from fettle_trainer.packing import AnswerCollator, pack
from fettle_trainer.training import TrainingMethod, train
from fettle_trainer.training_run import Run


def run(run: Run) -> RunResult:
    """Train and publish."""
    return train(run, SupervisedFineTuning(run.config))


class SupervisedFineTuning(TrainingMethod):
    """Cross-entropy of the labelled tokens."""

    def encoder(self, tokenizer: Any) -> Encoder:
        return AnswerEncoder(tokenizer, self.max_length, self.settings.assistant_only_loss)

    def arrange(self, rows: Iterator[EncodedRow], batch: MicroBatch) -> Iterator[EncodedRow]:
        return pack(rows, self.max_length) if self.settings.packing else rows

    def build_trainer(self, arguments: dict[str, Any], parts: dict[str, Any]) -> Any:
        from trl import SFTConfig, SFTTrainer

        config = SFTConfig(
            **arguments,
            neftune_noise_alpha=self.settings.neftune_noise_alpha,
            dataset_kwargs={"skip_prepare_dataset": True},  # the examples are encoded already
        )
        collator = AnswerCollator(parts["processing_class"].pad_token_id)
        return self.guarded(SFTTrainer)(args=config, data_collator=collator, **parts)


METHOD = SupervisedFineTuning
