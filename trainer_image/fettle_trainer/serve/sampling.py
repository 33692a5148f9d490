"""Logits → the next token. Pure: the same logits, parameters and generator give the same token."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_GREEDY_BELOW = 1e-5
"""Temperatures below it are greedy, as in vLLM."""


@dataclass(frozen=True)
class SamplingParameters:
    """How a token is chosen. The order is vLLM's: penalties, temperature, min_p, top_k, top_p."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 and -1 mean all."""
    min_p: float = 0.0
    seed: int | None = None
    repetition_penalty: float = 1.0
    """Of tokens in the prompt and in the answer; the other two look at the answer only."""
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature < _GREEDY_BELOW

    @property
    def has_penalties(self) -> bool:
        """Whether earlier tokens matter."""
        return self.repetition_penalty != 1 or self.frequency_penalty != 0 or self.presence_penalty != 0


def new_generator(seed: int | None) -> "torch.Generator":
    """A generator of a request's own, so that no other request changes its answer."""
    import torch

    generator = torch.Generator(device="cpu")
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def choose_token(
    logits: "torch.Tensor",
    parameters: SamplingParameters,
    prompt: Sequence[int],
    answer: Sequence[int],
    generator: "torch.Generator",
) -> int:
    """The next token of one row; `logits` has one dimension, lies on the CPU and is not changed."""
    scores = logits.float()
    if parameters.has_penalties:
        scores = penalized(scores, parameters, prompt, answer)
    if parameters.is_greedy:
        return int(scores.argmax())
    probabilities = (scores / parameters.temperature).softmax(-1)
    if parameters.min_p > 0:
        probabilities = probabilities.masked_fill(probabilities < parameters.min_p * probabilities.max(), 0)
    if parameters.top_k > 0 or parameters.top_p < 1:
        probabilities = _only_likeliest(probabilities, parameters)
    import torch

    return int(torch.multinomial(probabilities, 1, generator=generator))


def penalized(
    scores: "torch.Tensor", parameters: SamplingParameters, prompt: Sequence[int], answer: Sequence[int]
) -> "torch.Tensor":
    """`scores` with what was said before made less likely; a copy."""
    import torch

    scores = scores.clone()
    seen = torch.tensor(sorted({*prompt, *answer}), dtype=torch.long)
    old = scores[seen]
    scores[seen] = torch.where(old > 0, old / parameters.repetition_penalty, old * parameters.repetition_penalty)
    counts = Counter(answer)
    said = torch.tensor(list(counts), dtype=torch.long)
    scores[said] -= parameters.frequency_penalty * torch.tensor(list(counts.values())) + parameters.presence_penalty
    return scores


def _only_likeliest(probabilities: "torch.Tensor", parameters: SamplingParameters) -> "torch.Tensor":
    count = len(probabilities)
    kept = min(parameters.top_k, count) if parameters.top_k > 0 else count
    values, tokens = probabilities.topk(kept)
    if parameters.top_p < 1:
        before = values.cumsum(-1) - values
        values = values.masked_fill(before >= parameters.top_p * values.sum(), 0)  # the first always stays
    return probabilities.new_zeros(count).scatter(0, tokens, values)
