"""Odds ratio preference optimization: learns the chosen answer and pushes the rejected one away, in one step.

It needs no reference model. TRL's ORPOTrainer, which TRL still calls experimental.
"""

from typing import Any

from fettle_schema.run import RunResult
from fettle_trainer.encoding import Encoder
from fettle_trainer.preference_encoding import PairEncoder, labelled_pair
from fettle_trainer.training import TrainingMethod, train
from fettle_trainer.training_run import Run


def run(run: Run) -> RunResult:
    """Train and publish."""
    return train(run, OddsRatioPreferenceOptimization(run.config))


class OddsRatioPreferenceOptimization(TrainingMethod):
    """Cross-entropy of the chosen answer, and beta × the log odds ratio of both."""

    def encoder(self, tokenizer: Any) -> Encoder:
        return PairEncoder(tokenizer, self.max_length, self.settings.max_prompt_length, self.rejected_template)

    def build_trainer(self, arguments: dict[str, Any], parts: dict[str, Any]) -> Any:
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        class Trainer(self.guarded(ORPOTrainer)):  # type: ignore[misc]
            def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
                return labelled_pair(feature)

        config = ORPOConfig(
            **{**arguments, "max_length": self.max_length},
            beta=self.settings.beta,
            disable_dropout=False,  # it would silence spec.adapter.dropout
        )
        return Trainer(args=config, **parts)


METHOD = OddsRatioPreferenceOptimization
