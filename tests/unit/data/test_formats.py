"""What rows become: prompts found in answers, pairs for kto, reasoning, and texts that a template is named for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle_data.findings import DatasetError, FindingCode
from fettle_data.prepare import PreparedDataset, prepare
from fettle_schema.dataset import DatasetFormat, DatasetSpec
from fettle_schema.training_job import Method

Write = Callable[..., str]
Prepare = Callable[..., PreparedDataset]
SYSTEM = {"role": "system", "content": "Be brief"}
USER = {"role": "user", "content": "Pods?"}
GOOD = {"role": "assistant", "content": "get pods"}
BAD = {"role": "assistant", "content": "rm"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]},
            {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD]},
        ),
        (
            {"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, GOOD, USER, BAD]},
            {"prompt": [USER, GOOD, USER], "chosen": [GOOD], "rejected": [BAD]},
        ),
        (
            {"prompt": "Pods?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        ),
        (
            {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        ),
        (
            {"prompt": {"messages": [USER], "tools": []}, "chosen": [GOOD], "rejected": [BAD]},
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        ),
        (
            {"chosen": "Human: hi\n\nAssistant: hello", "rejected": "Human: hi\n\nAssistant: help"},
            {"prompt": "Human: hi\n\nAssistant:", "chosen": " hello", "rejected": " help"},
        ),
        ({"chosen": "1+1=\n2", "rejected": "1+1=\n3"}, {"prompt": "1+1=\n", "chosen": "2", "rejected": "3"}),
        ({"chosen": "a: kubectl", "rejected": "a: kube"}, {"prompt": "a:", "chosen": " kubectl", "rejected": " kube"}),
        ({"chosen": "问答:好", "rejected": "问答:不"}, {"prompt": "问答:", "chosen": "好", "rejected": "不"}),
        (
            {"prompt": "a", "chosen": "a b", "rejected": "a c"},
            {"prompt": "a", "chosen": "a b", "rejected": "a c"},
        ),
    ],
)
def test_prompt_that_both_answers_begin_with_is_found(
    write: Write, prepare_path: Prepare, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert prepare_path(write([row]), Method.DPO).train == [expected]


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        ({"chosen": "yes", "rejected": "no"}, FindingCode.MISSING_COLUMN, "no 'prompt'"),
        ({"chosen": [GOOD], "rejected": [BAD]}, FindingCode.MISSING_COLUMN, "do not begin with the same one"),
        ({"chosen": [USER, GOOD], "rejected": [USER]}, FindingCode.EMPTY_CONTENT, "nothing is left of 'rejected'"),
        ({"chosen": "a: b", "rejected": "a:"}, FindingCode.EMPTY_CONTENT, "nothing is left of 'rejected'"),
        ({"chosen": [USER, GOOD], "rejected": [USER, USER]}, FindingCode.NO_ASSISTANT_TURN, "'rejected'"),
        ({"prompt": "Nodes?", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, FindingCode.MIXED_SHAPES, "'prompt'"),
        ({"chosen": "a", "rejected": [USER, BAD]}, FindingCode.MIXED_SHAPES, "'chosen' is a string"),
    ],
)
def test_preference_without_a_usable_prompt_is_refused(
    write: Write, prepare_path: Prepare, row: dict[str, Any], code: FindingCode, words: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        prepare_path(write([row]), Method.DPO)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_kto_learns_from_both_halves_of_a_pair(write: Write, prepare_path: Prepare) -> None:
    rows = [{"prompt": f"p{number}", "chosen": f"c{number}", "rejected": f"r{number}"} for number in range(8)]
    prepared = prepare_path(write(rows), Method.KTO, evaluation={"fraction": 0.25}, shuffle=False)
    assert prepared.format is DatasetFormat.PREFERENCE
    assert prepared.statistics.row_count == 8
    assert (len(prepared.train), prepared.statistics.train_count, len(prepared.evaluation)) == (12, 12, 4)
    for part in (prepared.train, prepared.evaluation):
        good, bad = part[: len(part) // 2], part[len(part) // 2 :]
        assert [example["label"] for example in part] == [True] * len(good) + [False] * len(bad)
        assert [example["prompt"] for example in good] == [example["prompt"] for example in bad]
        assert [str(example["completion"])[0] for example in part] == ["c"] * len(good) + ["r"] * len(bad)


THINKING = {**GOOD, "reasoning": "easy"}
KEPT = {**GOOD, "reasoning_content": "easy"}
QWEN = {"name": "qwen3"}


@pytest.mark.parametrize(
    ("row", "template", "expected", "ignored"),
    [
        ({"messages": [USER, THINKING]}, QWEN, {"messages": [USER, KEPT]}, None),
        ({"messages": [USER, KEPT]}, QWEN, {"messages": [USER, KEPT]}, None),
        ({"messages": [USER, THINKING]}, {"name": "chatml"}, {"messages": [USER, GOOD]}, "'messages[].reasoning'"),
        ({"messages": [USER, THINKING]}, {**QWEN, "thinking": False}, {"messages": [USER, GOOD]}, "[].reasoning'"),
        ({"messages": [USER, KEPT]}, {}, {"messages": [USER, GOOD]}, "'messages[].reasoning_content'"),
        ({"messages": [{**USER, "reasoning": "x"}, GOOD]}, QWEN, {"messages": [USER, GOOD]}, "[].reasoning'"),
        (
            {"prompt": [USER], "completion": [GOOD], "reasoning": "easy"},
            QWEN,
            {"prompt": [USER], "completion": [KEPT]},
            None,
        ),
        (
            {"prompt": "Pods?", "completion": "get pods", "reasoning_content": "easy", "system": "Be brief"},
            QWEN,
            {"prompt": [SYSTEM, USER], "completion": [KEPT]},
            None,
        ),
        (
            {"prompt": "Pods?", "completion": "get pods", "reasoning": "easy", "system": "Be brief"},
            {},
            {"prompt": "Pods?", "completion": "get pods"},
            "'reasoning', 'system'",
        ),
    ],
)
def test_reasoning_is_kept_for_templates_that_write_it(
    write: Write,
    prepare_path: Prepare,
    row: dict[str, Any],
    template: dict[str, Any],
    expected: dict[str, Any],
    ignored: str | None,
) -> None:
    prepared = prepare_path(write([row]), template=template)
    assert prepared.train == [expected]
    notes = [str(note) for note in prepared.findings.listed]
    assert notes == [] if ignored is None else ignored in notes[0]


@pytest.mark.parametrize("template", [QWEN, {"name": "chatml"}])
def test_the_reasoning_of_a_pair_goes_into_both_answers(
    write: Write, prepare_path: Prepare, template: dict[str, Any]
) -> None:
    rows = [{"prompt": "Pods?", "chosen": "get pods", "rejected": "rm", "reasoning": "easy"}]
    prepared = prepare_path(write(rows), Method.ORPO, template=template)
    kept = {"reasoning_content": "easy"} if template is QWEN else {}
    assert prepared.train == [{"prompt": [USER], "chosen": [{**GOOD, **kept}], "rejected": [{**BAD, **kept}]}]
    ignored = [str(note) for note in prepared.findings.listed if "'reasoning'" in str(note)]
    assert bool(ignored) is (template is not QWEN)


def test_reasoning_is_kept_for_a_model_whose_own_template_writes_it(tmp_path: Path, write: Write) -> None:
    spec = DatasetSpec.model_validate({"source": {"workspace": {"path": write([{"messages": [USER, THINKING]}])}}})
    for text, expected in (("{{ message.reasoning_content }}", KEPT), ("{{ message.content }}", GOOD)):
        prepared = prepare(spec, Method.SFT, 0, tmp_path, own_template=text, scratch=tmp_path)
        assert prepared.train == [{"messages": [USER, expected]}]


@pytest.mark.parametrize(
    ("content", "method", "expected"),
    [
        (
            'messages\n"[{""role"": ""user"", ""content"": ""Pods?""},'
            ' {""role"": ""assistant"", ""content"": ""rm""}]"\n',
            Method.SFT,
            {"messages": [USER, BAD]},
        ),
        (
            "prompt,completion,label\na,b,false\n",
            Method.KTO,
            {"prompt": "a", "completion": "b", "label": False},
        ),
        ("prompt,completion\n[1],[2]\n", Method.SFT, {"prompt": "[1]", "completion": "[2]"}),
    ],
)
def test_csv_holds_lists_and_labels_as_text(
    write: Write, prepare_path: Prepare, content: str, method: Method, expected: dict[str, Any]
) -> None:
    assert prepare_path(write(content, "a.csv"), method).train == [expected]


CHATML = {"name": "chatml"}


@pytest.mark.parametrize(
    ("row", "method", "expected"),
    [
        (
            {"instruction": "Add", "input": "1 2", "output": "3", "system": "Be brief"},
            Method.SFT,
            {
                "prompt": [SYSTEM, {"role": "user", "content": "Add\n1 2"}],
                "completion": [{"role": "assistant", "content": "3"}],
            },
        ),
        (
            {"prompt": "Pods?", "chosen": "get pods", "rejected": "rm", "system": " "},
            Method.DPO,
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        ),
        (
            {"prompt": "Pods?", "completion": "rm", "label": False},
            Method.KTO,
            {"prompt": [USER], "completion": [BAD], "label": False},
        ),
        ({"text": "Pods?"}, Method.SFT, {"text": "Pods?"}),
        ({"prompt": [USER], "completion": [GOOD]}, Method.SFT, {"prompt": [USER], "completion": [GOOD]}),
    ],
)
def test_texts_become_turns_for_a_template_that_is_named(
    write: Write, prepare_path: Prepare, row: dict[str, Any], method: Method, expected: dict[str, Any]
) -> None:
    assert prepare_path(write([row]), method, template=CHATML).train == [expected]
