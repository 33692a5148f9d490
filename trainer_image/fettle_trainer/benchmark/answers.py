"""Answers of a model: sampled token by token, with draws that are named after question, answer and position.

What else is in the batch changes an answer only where two tokens are equally likely up to rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fettle_trainer.benchmark.draws import draw_token, uniform
from fettle_trainer.benchmark.likelihood import non_finite
from fettle_trainer.benchmark.scores import Answer

TEMPERATURE = 0.7
TOP_K = 50


@dataclass(frozen=True)
class AnswerRequest:
    """One answer to be sampled."""

    prompt_ids: list[int]
    name: str
    """What its draws are named after, besides the seed."""


class AnswerSampler:
    """Samples answers from one model; `tick` is called at each token, and may raise to stop."""

    def __init__(
        self, model: Any, tokenizer: Any, *, seed: int, new_tokens: int, batch_size: int, tick: Callable[[], None]
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._ends = end_tokens(model, tokenizer)
        self._seed = seed
        self._new_tokens = new_tokens
        self._batch_size = batch_size
        self._tick = tick

    def answers(self, requests: Sequence[AnswerRequest], advance: Callable[[int], None]) -> list[Answer]:
        """One for each request, in order. `advance` is told after each batch how many answers it had."""
        order = sorted(range(len(requests)), key=lambda index: len(requests[index].prompt_ids), reverse=True)
        found: dict[int, Answer] = {}
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            rows = self._generate([requests[index] for index in batch])
            found.update((index, self._answer(tokens)) for index, tokens in zip(batch, rows, strict=True))
            advance(len(batch))
        return [found[index] for index in range(len(requests))]

    @torch.inference_mode()
    def _generate(self, requests: Sequence[AnswerRequest]) -> list[list[int]]:
        device = self._model.device
        ids, mask = _padded_left([request.prompt_ids for request in requests])
        ids, mask = ids.to(device), mask.to(device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        rows: list[list[int]] = [[] for _ in requests]
        cache = None
        for position in range(self._new_tokens):
            self._tick()
            output = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = output.past_key_values
            drawn = self._draw(output.logits[:, -1], requests, position)
            for row, token in zip(rows, drawn, strict=True):
                if not self._is_ended(row):
                    row.append(token)
            if all(map(self._is_ended, rows)):
                break
            ids = torch.tensor(drawn, device=device)[:, None]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            positions = positions[:, -1:] + 1
        return rows

    def _draw(self, logits: torch.Tensor, requests: Sequence[AnswerRequest], position: int) -> list[int]:
        scores, tokens = logits.float().topk(min(TOP_K, logits.shape[-1]), dim=-1)
        if not torch.isfinite(scores).all():
            raise non_finite("the scores of the next token")
        return [
            draw_token(row_scores, row_tokens, TEMPERATURE, uniform(self._seed, "answer", request.name, position))
            for row_scores, row_tokens, request in zip(scores.tolist(), tokens.tolist(), requests, strict=True)
        ]

    def _is_ended(self, tokens: Sequence[int]) -> bool:
        return bool(tokens) and tokens[-1] in self._ends

    def _answer(self, tokens: list[int]) -> Answer:
        is_ended = self._is_ended(tokens)
        kept = tokens[:-1] if is_ended else tokens
        text = self._tokenizer.decode(kept, skip_special_tokens=True).strip()
        return Answer(text, tuple(kept), tokens[-1] if is_ended else None)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer; several models end a turn with another token than a text."""
    known = model.generation_config.eos_token_id
    listed = known if isinstance(known, list) else [known]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _padded_left(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, width - len(row) :] = torch.tensor(row)
        mask[number, width - len(row) :] = 1
    return ids, mask
