"""Paraphrases change how a prompt is written, never its end, and are always the same."""

import pytest

from fettle_trainer.benchmark.paraphrases import add_politeness, change_case, change_punctuation, paraphrases


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("show pods", "Show pods"),
        ("Show pods", "show pods"),
        ("élan", "Élan"),
        ("straße", "Straße"),
        ("ßtrange", "ßtrange"),
        ("日本語", "日本語"),
        ("42 pods", "42 pods"),
        ("", ""),
    ],
)
def test_case_of_the_first_letter(text: str, expected: str) -> None:
    assert change_case(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("show pods", "show pods."),
        ("show pods.", "show pods"),
        ("which pods?!", "which pods"),
        ("どのポッド？", "どのポッド"),
        ("show pods?\n", "show pods\n"),
        ("### Response:\n", "### Response:\n"),
        ("f(x)", "f(x)"),
        ("...", "..."),
        ("", ""),
    ],
)
def test_punctuation_of_the_last_sentence(text: str, expected: str) -> None:
    assert change_punctuation(text) == expected


def test_politeness_is_a_wrapper() -> None:
    assert add_politeness("show pods") == "Please help me with this: show pods"


def test_a_conversation_changes_in_its_last_request_only() -> None:
    messages = [
        {"role": "system", "content": "you know kubectl"},
        {"role": "user", "content": "show nodes"},
        {"role": "assistant", "content": "kubectl get nodes"},
        {"role": "user", "content": "show pods"},
    ]

    found = paraphrases(messages)

    assert [prompt[-1]["content"] for prompt in found if not isinstance(prompt, str)] == [
        "Show pods",
        "Please help me with this: show pods",
        "show pods.",
    ]
    assert all(prompt[:-1] == messages[:-1] for prompt in found)
    assert messages[-1]["content"] == "show pods"
    assert paraphrases(messages) == found


def test_a_plain_prompt_keeps_the_mark_at_its_end() -> None:
    assert all(str(prompt).endswith("\n### Response:\n") for prompt in paraphrases("say it\n### Response:\n"))
