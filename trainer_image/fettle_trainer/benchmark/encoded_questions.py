"""Questions → token ids, by the encoders of the training methods: what is scored is what would be trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fettle_trainer.benchmark.paraphrases import paraphrases
from fettle_trainer.benchmark.questions import Prompt, Question
from fettle_trainer.encoding import IGNORED, AnswerEncoder, EncodedRow, template_of
from fettle_trainer.preference_encoding import PairEncoder

MIN_NEW_TOKENS = 64
MAX_NEW_TOKENS = 256
_NEW_TOKENS_WITHOUT_REFERENCE = 128


@dataclass(frozen=True)
class EncodedQuestion:
    """A question as the models get it."""

    question: Question
    prompts: list[list[int]]
    """Token ids of the prompt and of its paraphrases."""
    references: list[EncodedRow]
    """None, the reference, or the chosen and the rejected answer: each with its prompt, and labels on the answer."""


def encode_questions(questions: Sequence[Question], tokenizer: Any, max_length: int) -> list[EncodedQuestion]:
    """Token ids of all questions whose references leave something to score within `max_length`."""
    encoded = []
    for number, question in enumerate(questions, start=1):
        references = _references(question, tokenizer, max_length, number)
        if references is not None:
            prompts = [
                _prompt_ids(prompt, question.tools, tokenizer, number)
                for prompt in (question.prompt, *paraphrases(question.prompt))
            ]
            encoded.append(EncodedQuestion(question, prompts, references))
    return encoded


def answer_limit(questions: Sequence[EncodedQuestion], max_length: int) -> int:
    """Tokens that an answer may have: half as many again as the longest reference, within fixed bounds.

    The bounds are MIN_NEW_TOKENS, MAX_NEW_TOKENS and half of `max_length`; 128 where there is no reference.
    """
    lengths = [sum(label != IGNORED for label in row["labels"]) for one in questions for row in one.references]
    wanted = math.ceil(1.5 * max(lengths)) if lengths else _NEW_TOKENS_WITHOUT_REFERENCE
    return min(max(wanted, MIN_NEW_TOKENS), MAX_NEW_TOKENS, max(max_length // 2, 1))


def with_room(questions: Sequence[EncodedQuestion], max_length: int, new_tokens: int) -> list[EncodedQuestion]:
    """The questions all of whose prompts leave room for an answer of `new_tokens` within `max_length`."""
    return [one for one in questions if max(map(len, one.prompts)) + new_tokens <= max_length]


def labelled(prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> EncodedRow:
    """A row that is scored on the answer only."""
    return {"input_ids": [*prompt_ids, *answer_ids], "labels": [IGNORED] * len(prompt_ids) + list(answer_ids)}


def _references(question: Question, tokenizer: Any, max_length: int, number: int) -> list[EncodedRow] | None:
    if question.reference is None:
        return []
    example = {"prompt": question.prompt, "tools": question.tools}
    if question.rejected is None:
        answer = AnswerEncoder(tokenizer, max_length, None).encode(
            {**example, "completion": question.reference}, number
        )
        return None if answer is None else [answer]
    answers = {"chosen": question.reference, "rejected": question.rejected}
    pair = PairEncoder(tokenizer, max_length).encode({**example, **answers}, number)
    return None if pair is None else [labelled(pair["prompt_ids"], pair[f"{name}_ids"]) for name in answers]


def _prompt_ids(prompt: Prompt, tools: Any, tokenizer: Any, number: int) -> list[int]:
    if isinstance(prompt, str):
        ids: list[int] = tokenizer(prompt)["input_ids"]
        return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids
    text = template_of(tokenizer, number)(prompt, tools=tools, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
