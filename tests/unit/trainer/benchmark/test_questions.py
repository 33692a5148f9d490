"""What is asked of each kind of example, and which examples are chosen."""

from typing import Any

import pytest

from fettle_trainer.benchmark.questions import Question, choose_questions, prompts_digest, question_of

ASK = {"role": "user", "content": "show pods"}
ANSWER = {"role": "assistant", "content": "kubectl get pods"}
THANKS = {"role": "user", "content": "thanks"}


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ({"messages": [ASK, ANSWER]}, Question([ASK], [ANSWER])),
        ({"messages": [ASK, ANSWER, THANKS]}, Question([ASK], [ANSWER])),
        ({"messages": [ASK, ANSWER, THANKS, ANSWER]}, Question([ASK, ANSWER, THANKS], [ANSWER])),
        ({"messages": [ANSWER]}, None),
        ({"prompt": "2+2=", "completion": "4"}, Question("2+2=", "4")),
        ({"prompt": [ASK], "completion": [ANSWER]}, Question([ASK], [ANSWER])),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, Question("a", "b", "c")),
        ({"prompt": [ASK], "chosen": [ANSWER], "rejected": [THANKS]}, Question([ASK], [ANSWER], [THANKS])),
        ({"chosen": "b", "rejected": "c"}, None),
        ({"text": "one two three four five six"}, Question("one")),
        ({"text": "日本語のテキスト"}, Question("日本")),
        ({"text": "x"}, Question("x")),
    ],
)
def test_question_of_an_example(example: dict[str, Any], expected: Question | None) -> None:
    assert question_of(example) == expected


def test_reference_text_is_without_its_role() -> None:
    assert Question([ASK], [ANSWER]).reference_text == "kubectl get pods"
    assert Question("a", "b").reference_text == "b"
    assert Question("a").reference_text is None


def test_the_seed_decides_which_examples_are_chosen() -> None:
    examples = [{"prompt": str(number), "completion": "x"} for number in range(100)]

    first = choose_questions(examples, 10, seed=1)

    assert len(first) == 10
    assert choose_questions(examples, 10, seed=1) == first
    assert choose_questions(examples, 10, seed=2) != first
    assert [int(str(question.prompt)) for question in first] == sorted(int(str(one.prompt)) for one in first)


def test_fewer_examples_than_asked_for_are_all_chosen() -> None:
    examples = [{"prompt": str(number), "completion": "x"} for number in range(3)]

    assert [question.prompt for question in choose_questions(examples, 64, seed=1)] == ["0", "1", "2"]


def test_digest_is_that_of_the_prompts() -> None:
    one, other = Question("a", "b"), Question("a", "c")

    assert prompts_digest([one]) == prompts_digest([other])
    assert prompts_digest([one]) != prompts_digest([one, one])
    assert one.key == other.key != Question("b").key
