"""Contrastive preference optimization (cpo), and with another loss simple preference optimization (simpo).

Neither needs a reference model. TRL's CPOTrainer, which TRL still calls experimental.
"""

from typing import Any

from fettle_schema.run import RunResult
from fettle_schema.training_job import Method
from fettle_trainer.encoding import Encoder
from fettle_trainer.preference_encoding import PairEncoder, labelled_pair
from fettle_trainer.training import TrainingMethod, train
from fettle_trainer.training_run import Run


def run(run: Run) -> RunResult:
    """Train and publish."""
    return train(run, ContrastivePreferenceOptimization(run.config))


class ContrastivePreferenceOptimization(TrainingMethod):
    """-log sigmoid(beta × margin) with cross-entropy of the chosen answer; simpo: mean margins above a target."""

    def encoder(self, tokenizer: Any) -> Encoder:
        return PairEncoder(tokenizer, self.max_length, self.settings.max_prompt_length, self.rejected_template)

    def build_trainer(self, arguments: dict[str, Any], parts: dict[str, Any]) -> Any:
        from trl.experimental.cpo import CPOConfig, CPOTrainer

        class Trainer(self.guarded(CPOTrainer)):  # type: ignore[misc]
            def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
                return labelled_pair(feature)

        is_simpo = self.config.method is Method.SIMPO
        config = CPOConfig(
            **{**arguments, "max_length": self.max_length},
            loss_type="simpo" if is_simpo else "sigmoid",
            beta=self.settings.beta,
            label_smoothing=self.settings.label_smoothing or 0.0,
            cpo_alpha=self.settings.cpo_alpha,
            disable_dropout=False,  # it would silence spec.adapter.dropout
            **({"simpo_gamma": self.settings.simpo_gamma} if is_simpo else {}),
        )
        return Trainer(args=config, **parts)


METHOD = ContrastivePreferenceOptimization
