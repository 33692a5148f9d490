"""Counting right answers."""

import json
from pathlib import Path

import pytest

from fettle_local.demo import Question, Timings, is_right, load_questions
from fettle_schema.manifests import load_manifests
from fettle_schema.validation import admit


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("kubectl get pods", True),
        (" kubectl get pods\n", True),
        ("kubectl get pod", False),
        ("kubectl get pods\nkubectl get pods", False),
        ("", False),
    ],
)
def test_only_the_exact_command_is_right(answer: str, expected: bool) -> None:
    assert is_right(Question("Show the pods", "kubectl get pods", "Be short."), answer) is expected


def test_a_question_is_a_system_message_a_request_and_its_answer(tmp_path: Path) -> None:
    contents = {"system": "Be short.", "user": "Show the pods", "assistant": "kubectl get pods"}
    messages = [{"role": role, "content": content} for role, content in contents.items()]
    (tmp_path / "heldout.jsonl").write_text(json.dumps({"messages": messages}) + "\n\n")
    assert load_questions(tmp_path / "heldout.jsonl") == [Question("Show the pods", "kubectl get pods", "Be short.")]


def test_parts_are_timed_in_order() -> None:
    timings = Timings({"model": 1.2, "training": 60.4})
    assert timings.summary() == "Time: model 1 s, training 60 s; 62 s in all."


def test_the_example_is_a_good_manifest() -> None:
    (manifest,) = load_manifests(Path("examples/kubectl-helper.yaml").read_text())
    assert admit(manifest)["spec"]["baseModel"] == {"path": "models/smollm2-135m"}
