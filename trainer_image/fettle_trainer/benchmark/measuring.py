"""Lets the models answer, the base model judge the answers, and turns both into scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fettle_trainer.benchmark.answers import AnswerRequest, AnswerSampler
from fettle_trainer.benchmark.compared_models import ComparedModels
from fettle_trainer.benchmark.encoded_questions import EncodedQuestion, labelled
from fettle_trainer.benchmark.likelihood import log_likelihoods
from fettle_trainer.benchmark.paraphrases import RULES
from fettle_trainer.benchmark.question_scores import QuestionScores, ScoredAnswer, score_question
from fettle_trainer.benchmark.scores import Answer, LogLikelihood

SAMPLES = 2
"""Answers to the unchanged prompt; each paraphrase gets one."""
_ANSWERS_FOR_A_ROW = 4
"""Answers that are sampled together for each row of a batch: they keep no logits but the last, so they need less."""


@dataclass(frozen=True)
class Conditions:
    """How the questions are put."""

    seed: int
    new_tokens: int
    batch_size: int
    """Rows that are scored together; no number depends on it but by rounding."""
    advance: Callable[[int], None]
    """Told after each batch how much of `work_of` is done."""
    tick: Callable[[], None]
    """Called at each token; may raise."""


def work_of(questions: Sequence[EncodedQuestion], model_count: int) -> int:
    """Answers and rows in all: what `advance` adds up to."""
    of_questions = len(questions) * (SAMPLES + len(RULES) + SAMPLES)
    return model_count * (of_questions + sum(len(one.references) for one in questions))


def measure(
    models: ComparedModels, tokenizer: Any, questions: Sequence[EncodedQuestion], conditions: Conditions
) -> tuple[list[QuestionScores], list[QuestionScores] | None]:
    """Scores of each question for the base model, and for what was trained on it if there is such."""
    with models.base() as base:
        base_answers, base_references = _ask(base, tokenizer, questions, conditions)
        base_judged = _judge(base, questions, base_answers, conditions)
        vocabulary_size = int(base.config.get_text_config().vocab_size)
    scored = _scores(questions, base_answers, base_judged, base_references, base_references, vocabulary_size)
    if models.trained is None:
        return scored, None
    answers, references = _ask(models.trained, tokenizer, questions, conditions)
    with models.base() as base:
        judged = _judge(base, questions, answers, conditions)
    return scored, _scores(questions, answers, judged, references, base_references, vocabulary_size)


def _ask(
    model: Any, tokenizer: Any, questions: Sequence[EncodedQuestion], conditions: Conditions
) -> tuple[list[list[Answer]], list[LogLikelihood]]:
    """Answers to each question, SAMPLES to the unchanged prompt first, and the likelihood of all references."""
    requests = [
        AnswerRequest(prompt, f"{one.question.key}-{number}")
        for one in questions
        for number, prompt in enumerate([one.prompts[0]] * (SAMPLES - 1) + one.prompts)
    ]
    sampler = AnswerSampler(
        model,
        tokenizer,
        seed=conditions.seed,
        new_tokens=conditions.new_tokens,
        batch_size=conditions.batch_size * _ANSWERS_FOR_A_ROW,
        tick=conditions.tick,
    )
    answers = iter(sampler.answers(requests, conditions.advance))
    references = [row for one in questions for row in one.references]
    likelihoods = log_likelihoods(model, references, conditions.batch_size, conditions.advance)
    return [[next(answers) for _ in range(SAMPLES - 1 + len(one.prompts))] for one in questions], likelihoods


def _judge(
    base: Any, questions: Sequence[EncodedQuestion], answers: Sequence[Sequence[Answer]], conditions: Conditions
) -> list[LogLikelihood]:
    """What the base model thinks of the answers to the unchanged prompts, SAMPLES for each question."""
    rows = [
        labelled(one.prompts[0], answer.all_tokens)
        for one, given in zip(questions, answers, strict=True)
        for answer in given[:SAMPLES]
    ]
    return log_likelihoods(base, rows, conditions.batch_size, conditions.advance)


def _scores(
    questions: Sequence[EncodedQuestion],
    answers: Sequence[Sequence[Answer]],
    judged: Sequence[LogLikelihood],
    own: Sequence[LogLikelihood],
    base: Sequence[LogLikelihood],
    vocabulary_size: int,
) -> list[QuestionScores]:
    judgements, references = iter(judged), iter(zip(own, base, strict=True))
    return [
        score_question(
            [ScoredAnswer(answer, next(judgements).mean) for answer in given[:SAMPLES]],
            [answer.text for answer in given[SAMPLES:]],
            vocabulary_size,
            one.question.reference_text,
            [next(references) for _ in one.references],
        )
        for one, given in zip(questions, answers, strict=True)
    ]
