"""Preferences → token ids: pairs of answers (dpo, orpo, cpo) and labelled answers (kto).

Prompt and answer are parted where the tokens of the whole text first leave those of the prompt. A prompt that is too
long loses its beginning, an answer its end. Pure but for the tokenizer that is given.
"""

from typing import Any

from fettle_data.rendering import render_answers
from fettle_trainer.encoding import IGNORED, EncodedRow, EncodingNotes, template_of


class PairEncoder:
    """`prompt`, `chosen`, `rejected` → `prompt_ids`, `chosen_ids`, `rejected_ids`."""

    def __init__(
        self,
        tokenizer: Any,
        max_length: int,
        max_prompt_length: int | None = None,
        rejected_template: str | None = None,
    ) -> None:
        self.notes = EncodingNotes()
        self._parts = _Parts(tokenizer, max_length, max_prompt_length)
        self._templates = {"chosen": None, "rejected": rejected_template}

    def encode(self, example: dict[str, Any], number: int) -> EncodedRow | None:
        prompt, answers = self._parts.of(example, self._templates, number, self.notes)
        if not all(answers) or not prompt:
            return None
        return {"prompt_ids": prompt, "chosen_ids": answers[0], "rejected_ids": answers[1]}


class LabelledEncoder:
    """`prompt`, `completion`, `label` → `prompt_ids`, `completion_ids`, `label`."""

    def __init__(self, tokenizer: Any, max_length: int, rejected_template: str | None = None) -> None:
        self.notes = EncodingNotes()
        self._parts = _Parts(tokenizer, max_length, None)
        self._rejected_template = rejected_template

    def encode(self, example: dict[str, Any], number: int) -> EncodedRow | None:
        template = None if example["label"] else self._rejected_template
        prompt, (completion,) = self._parts.of(example, {"completion": template}, number, self.notes)
        if not completion or not prompt:
            return None
        return {"prompt_ids": prompt, "completion_ids": completion, "label": bool(example["label"])}


class _Parts:
    """Renders and tokenizes a prompt with each of its answers."""

    def __init__(self, tokenizer: Any, max_length: int, max_prompt_length: int | None) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._max_prompt_length = max_prompt_length

    def of(
        self, example: dict[str, Any], columns: dict[str, str | None], number: int, notes: EncodingNotes
    ) -> tuple[list[int], list[list[int]]]:
        """Token ids of the prompt and of each answer, cut to the limits; `columns` tells the template of each."""
        templates = {column: template_of(self._tokenizer, number, text) for column, text in columns.items()}
        rendered = render_answers(example, templates, self._tokenizer.eos_token)
        texts = [rendered.prompt + answer for answer in rendered.answers]
        encoded = [self._tokenize(text, is_template=rendered.is_template) for text in texts]
        prompt_length = min(_tokens_before(len(rendered.prompt), offsets) for _, offsets in encoded)
        first = encoded[0][0]
        for ids, _ in encoded[1:]:
            prompt_length = min(prompt_length, _common_tokens(first, ids))
        prompt, answers = first[:prompt_length], [ids[prompt_length:] for ids, _ in encoded]
        notes.lengths.append(max(len(ids) for ids, _ in encoded))
        cut_prompt = self._cut_prompt(prompt)
        room = max(self._max_length - len(cut_prompt), 0)
        notes.truncated += len(cut_prompt) < len(prompt) or any(len(answer) > room for answer in answers)
        return cut_prompt, [answer[:room] for answer in answers]

    def _tokenize(self, text: str, *, is_template: bool) -> tuple[list[int], list[tuple[int, int]]]:
        encoding = self._tokenizer(text, add_special_tokens=not is_template, return_offsets_mapping=True)
        return encoding["input_ids"], encoding["offset_mapping"]

    def _cut_prompt(self, prompt: list[int]) -> list[int]:
        limit = self._max_prompt_length
        if limit is None or len(prompt) <= limit:
            return prompt
        begin = [prompt[0]] if prompt[0] == self._tokenizer.bos_token_id else []
        return [*begin, *prompt[len(prompt) - limit + len(begin) :]]


def _tokens_before(border: int, offsets: list[tuple[int, int]]) -> int:
    """How many tokens end at or before character `border`."""
    return next((index for index, (_, stop) in enumerate(offsets) if stop > border), len(offsets))


def _common_tokens(first: list[int], second: list[int]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))


def labelled_pair(row: EncodedRow) -> EncodedRow:
    """A row of PairEncoder as TRL's orpo and cpo collate it: whole sequences, labels on the answers."""
    prompt: list[int] = row["prompt_ids"]
    pair: EncodedRow = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for name in ("chosen", "rejected"):
        answer: list[int] = row[f"{name}_ids"]
        pair[f"{name}_input_ids"] = [*prompt, *answer]
        pair[f"{name}_attention_mask"] = [1] * (len(prompt) + len(answer))
        pair[f"{name}_labels"] = [IGNORED] * len(prompt) + answer
    return pair
