"""Direct preference optimization (dpo), and with another loss identity preference optimization (ipo). TRL's DPOTrainer.

The chosen answer shall become likelier than the rejected one, measured against a reference: the base model without
the adapter, or a frozen copy of what training started from.
"""

from typing import Any

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.run import RunResult
from fettle_schema.training_job import Method
from fettle_trainer.encoding import Encoder
from fettle_trainer.preference_encoding import PairEncoder
from fettle_trainer.reference import as_they_are, settle_reference
from fettle_trainer.training import TrainingMethod, train
from fettle_trainer.training_run import Run


def run(run: Run) -> RunResult:
    """Train and publish."""
    return train(run, DirectPreferenceOptimization(run.config))


class DirectPreferenceOptimization(TrainingMethod):
    """-log sigmoid(beta × margin), or (margin - 1 / (2 beta))² for ipo."""

    @property
    def needs_reference(self) -> bool:
        return self.config.adapter.type is AdapterType.NONE

    def encoder(self, tokenizer: Any) -> Encoder:
        return PairEncoder(tokenizer, self.max_length, self.settings.max_prompt_length, self.rejected_template)

    def build_trainer(self, arguments: dict[str, Any], parts: dict[str, Any]) -> Any:
        from trl import DPOConfig, DPOTrainer

        config = DPOConfig(
            **arguments,
            loss_type=["ipo" if self.config.method is Method.IPO else "sigmoid"],
            beta=self.settings.beta,
            label_smoothing=self.settings.label_smoothing or 0.0,
            disable_dropout=False,  # it would silence spec.adapter.dropout
        )
        trainer = as_they_are(self.guarded(DPOTrainer))(args=config, **parts)
        settle_reference(trainer.model, is_fresh=self.is_fresh_adapter)
        return trainer


METHOD = DirectPreferenceOptimization
