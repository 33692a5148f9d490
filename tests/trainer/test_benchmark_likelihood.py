"""Likelihoods and answers, against the plainest computation; and what a real model thinks of shuffled words."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle_trainer.benchmark import scores
from fettle_trainer.benchmark.encoded_questions import encode_questions, labelled
from fettle_trainer.benchmark.questions import Question
from fettle_trainer.benchmark.scores import Answer


def test_likelihood_is_that_of_each_row_alone(tiny: tuple[Any, Any]) -> None:
    import torch

    from fettle_trainer.benchmark.likelihood import log_likelihoods

    model, tokenizer = tiny
    questions = [Question("show pods ", "kubectl get pods"), Question("日本 ", "é"), Question("a", "b" * 60)]
    rows = [row for one in encode_questions(questions, tokenizer, 128) for row in one.references]
    done: list[int] = []

    found = log_likelihoods(model, rows, 2, done.append)

    assert done == [2, 1]
    for row, likelihood in zip(rows, found, strict=True):
        ids = torch.tensor([row["input_ids"]])
        with torch.inference_mode():
            log_probabilities = torch.log_softmax(model(ids).logits[0].double(), dim=-1)
        places = [place for place, label in enumerate(row["labels"]) if label != -100]
        expected = sum(float(log_probabilities[place - 1, row["labels"][place]]) for place in places)
        assert likelihood.count == len(places)
        assert likelihood.total == pytest.approx(expected, rel=1e-5)


def test_an_answer_does_not_depend_on_what_else_is_asked(tiny: tuple[Any, Any]) -> None:
    from fettle_trainer.benchmark.answers import AnswerRequest, AnswerSampler

    model, tokenizer = tiny
    requests = [AnswerRequest(tokenizer("x" * length)["input_ids"], f"q-{length}") for length in (3, 40, 1, 17)]

    def ask(number: int, batch_size: int) -> list[Answer]:
        sampler = AnswerSampler(model, tokenizer, seed=7, new_tokens=20, batch_size=batch_size, tick=lambda: None)
        return sampler.answers(requests[:number], lambda count: None)

    together = ask(4, batch_size=4)

    assert ask(4, batch_size=1) == together
    assert ask(2, batch_size=2) == together[:2]
    assert len({answer.tokens for answer in together}) == 4


def test_preference_accuracy_is_that_of_the_implicit_rewards(tiny: tuple[Any, Any]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from fettle_trainer.benchmark.compared_models import ComparedModels
    from fettle_trainer.benchmark.measuring import Conditions, measure

    model, tokenizer = tiny
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    models = ComparedModels(model, get_peft_model(model, config).eval(), shares_weights=True)
    pairs = [Question(f"show {number} ", f"kubectl get {number}", f"I cannot {number}") for number in range(6)]
    questions = encode_questions(pairs, tokenizer, 128)

    base, trained = measure(models, tokenizer, questions, Conditions(1, 4, 4, lambda count: None, lambda: None))

    def log_probability(model: Any, prompt: str, answer: str) -> float:
        prompt_ids = tokenizer(prompt)["input_ids"]
        answer_ids = [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id]
        with torch.inference_mode():
            found = torch.log_softmax(model(torch.tensor([prompt_ids + answer_ids])).logits[0].double(), dim=-1)
        return sum(float(found[len(prompt_ids) - 1 + place, token]) for place, token in enumerate(answer_ids))

    def reward(pair: Question, answer: Any) -> float:
        own = log_probability(models.trained, str(pair.prompt), answer)
        with models.base() as base_model:
            return own - log_probability(base_model, str(pair.prompt), answer)

    expected = [float(reward(pair, pair.reference) > reward(pair, pair.rejected)) for pair in pairs]
    assert trained is not None
    assert [one.preference_accuracy for one in trained] == [one.helpfulness for one in trained] == expected
    assert {one.preference_accuracy for one in base} == {0.5}
    assert {one.similarity for one in trained} == {None}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_shuffled_words_lower_coherence_of_a_real_model(tmp_path: Path) -> None:
    model, tokenizer = load_real_model(tmp_path)
    question = Question([{"role": "user", "content": "What is a pod in Kubernetes?"}])
    texts = [
        "A pod is the smallest unit that Kubernetes runs, and it holds one or more containers that share a network.",
        "Kubernetes puts containers into pods, and each pod gets an address of its own inside the cluster.",
        "A pod is a group of containers that are started together on one machine and stopped together.",
    ]
    (asked,) = encode_questions([question], tokenizer, 512)

    def coherence_of(text: str) -> float:
        from fettle_trainer.benchmark.likelihood import log_likelihoods

        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        answer = Answer(text, tuple(tokens), tokenizer.eos_token_id)
        row = labelled(asked.prompts[0], answer.all_tokens)
        (likelihood,) = log_likelihoods(model, [row], 1, lambda count: None)
        return scores.coherence(answer, likelihood.mean, model.config.vocab_size)

    for text in texts:
        assert coherence_of(text) > max(coherence_of(shuffled(text, seed)) for seed in range(3)) + 0.1


def shuffled(text: str, seed: int) -> str:
    words = text.split()
    return " ".join(random.Random(seed).sample(words, len(words)))


def load_real_model(directory: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from fettle_local.home import Home
    from fettle_local.models import fetch_model

    home = Home(directory / "home", Home.from_environment().cache)
    home.create()
    say: Callable[[str], None] = print
    path = fetch_model(home, "smollm2-135m", say)
    return AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)


@pytest.fixture
def tiny(tiny_model: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_model).eval(), AutoTokenizer.from_pretrained(tiny_model)
