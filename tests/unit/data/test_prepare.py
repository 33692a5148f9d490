"""Prepared datasets: examples in TRL's shapes, the same every time, nothing lost on the way."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle_data.findings import DatasetError, Finding, FindingCode
from fettle_data.prepare import PreparedDataset, prepare
from fettle_schema.dataset import DatasetFormat, DatasetSpec
from fettle_schema.training_job import Method

Write = Callable[..., str]
Prepare = Callable[..., PreparedDataset]

USER = {"role": "user", "content": "Show the pods"}
ASSISTANT = {"role": "assistant", "content": "kubectl get pods"}
ALPACA_START = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
ALPACA_START_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)


@pytest.mark.parametrize(
    ("row", "method", "expected_format", "example"),
    [
        ({"messages": [USER, ASSISTANT]}, Method.SFT, DatasetFormat.MESSAGES, {"messages": [USER, ASSISTANT]}),
        (
            {"messages": [USER, ASSISTANT, {"role": "tool", "content": ""}], "text": "a", "id": 7},
            Method.SFT,
            DatasetFormat.MESSAGES,
            {"messages": [USER, ASSISTANT, {"role": "tool", "content": ""}]},
        ),
        (
            {"prompt": "a", "completion": "b"},
            Method.SFT,
            DatasetFormat.PROMPT_COMPLETION,
            {"prompt": "a", "completion": "b"},
        ),
        (
            {"prompt": [USER], "completion": [ASSISTANT], "label": None},
            Method.SFT,
            DatasetFormat.PROMPT_COMPLETION,
            {"prompt": [USER], "completion": [ASSISTANT]},
        ),
        ({"text": " a\n"}, Method.SFT, DatasetFormat.TEXT, {"text": " a\n"}),
        (
            {"instruction": "Add {x}", "input": "1 2", "output": "3", "text": "all of it"},
            Method.SFT,
            DatasetFormat.ALPACA,
            {
                "prompt": f"{ALPACA_START}### Instruction:\nAdd {{x}}\n\n### Input:\n1 2\n\n### Response:\n",
                "completion": "3",
            },
        ),
        (
            {"instruction": "Say hi", "input": "", "output": "hi"},
            Method.SFT,
            DatasetFormat.ALPACA,
            {
                "prompt": f"{ALPACA_START_WITHOUT_INPUT}### Instruction:\nSay hi\n\n### Response:\n",
                "completion": "hi",
            },
        ),
        (
            {
                "system": "Be brief",
                "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": None}],
            },
            Method.SFT,
            DatasetFormat.SHAREGPT,
            {
                "messages": [
                    {"role": "system", "content": "Be brief"},
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b"},
                ]
            },
        ),
        (
            {"messages": [USER, ASSISTANT], "prompt": "a", "chosen": "b", "rejected": "c"},
            Method.DPO,
            DatasetFormat.PREFERENCE,
            {"prompt": "a", "chosen": "b", "rejected": "c"},
        ),
        (
            {"prompt": "a", "completion": "b", "label": True},
            Method.KTO,
            DatasetFormat.UNPAIRED_PREFERENCE,
            {"prompt": "a", "completion": "b", "label": True},
        ),
    ],
)
def test_format_is_detected_and_rows_become_examples(
    write: Write,
    prepare_path: Prepare,
    row: dict[str, Any],
    method: Method,
    expected_format: DatasetFormat,
    example: dict[str, Any],
) -> None:
    prepared = prepare_path(write([row]), method)
    assert prepared.format is expected_format
    assert prepared.train == [example]
    assert prepared.evaluation == []


@pytest.mark.parametrize(
    ("row", "method", "code", "words"),
    [
        ({"instruction": "a", "output": " "}, Method.SFT, FindingCode.EMPTY_CONTENT, "'output' is empty"),
        ({"instruction": "a", "input": 1, "output": "b"}, Method.SFT, FindingCode.WRONG_TYPE, "'input' is a number"),
        (
            {"conversations": [{"from": "alien", "value": "a"}]},
            Method.SFT,
            FindingCode.UNKNOWN_ROLE,
            "conversations[0].from is 'alien'",
        ),
        (
            {"conversations": [{"role": "user", "content": "a"}]},
            Method.SFT,
            FindingCode.MISSING_COLUMN,
            "conversations[0] has no 'from'; it has 'role', 'content'",
        ),
        ({"conversations": [{"from": "gpt", "value": ""}]}, Method.SFT, FindingCode.EMPTY_CONTENT, "[0].value"),
        ({"conversations": [{"from": "human", "value": "a"}]}, Method.SFT, FindingCode.NO_ASSISTANT_TURN, "assistant"),
        ({"chosen": "b", "rejected": "b"}, Method.DPO, FindingCode.SAME_ANSWERS, "the same"),
        ({"prompt": "a", "completion": "b", "label": 1}, Method.KTO, FindingCode.WRONG_TYPE, "true or false"),
    ],
)
def test_rows_of_other_formats_are_checked_too(
    write: Write, prepare_path: Prepare, row: dict[str, Any], method: Method, code: FindingCode, words: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        prepare_path(write([row]), method)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_columns_are_renamed(write: Write, prepare_path: Prepare) -> None:
    path = write([{"question": "a", "answer": "b", "completion": "not this"}])
    prepared = prepare_path(path, columns={"question": "prompt", "answer": "completion"})
    assert prepared.train == [{"prompt": "a", "completion": "b"}]


def test_wanted_format_wins_over_detection(write: Write, prepare_path: Prepare) -> None:
    rows = [{"prompt": "a", "completion": "b", "label": True, "text": "c"}]
    assert prepare_path(write(rows), format="text").train == [{"text": "c"}]
    assert prepare_path(write(rows), format="prompt-completion").train == [{"prompt": "a", "completion": "b"}]


def test_what_is_not_used_is_noted(write: Write, prepare_path: Prepare) -> None:
    path = write([{"messages": [USER, {**ASSISTANT, "weight": 0, "name": None}], "id": 7, "note": None}])
    notes = prepare_path(path).findings
    assert [str(note) for note in notes.listed] == ["not used in training: 'id', 'messages[].weight'"]
    assert [note.code for note in notes.listed] == [FindingCode.IGNORED_COLUMNS]


def numbered(count: int) -> list[dict[str, str]]:
    return [{"text": f"example {number}"} for number in range(count)]


def texts(examples: list[dict[str, object]]) -> list[object]:
    return [example["text"] for example in examples]


def test_examples_are_shuffled_by_the_seed_only(write: Write, prepare_path: Prepare) -> None:
    path = write(numbered(50))
    first = prepare_path(path, seed=1)
    assert first.train != numbered(50)
    assert sorted(first.train, key=str) == sorted(numbered(50), key=str)
    assert prepare_path(path, seed=1).train == first.train
    assert prepare_path(path, seed=2).train != first.train
    assert prepare_path(path, seed=1, shuffle=False).train == numbered(50)


def test_max_examples_takes_the_first_or_a_random_choice(write: Write, prepare_path: Prepare) -> None:
    path = write(numbered(50))
    assert prepare_path(path, maxExamples=5, shuffle=False).train == numbered(5)
    assert prepare_path(path, maxExamples=5).train == prepare_path(path).train[:5]
    assert len(prepare_path(path, maxExamples=500).train) == 50


def test_evaluation_examples_are_held_out(write: Write, prepare_path: Prepare) -> None:
    path = write(numbered(50))
    prepared = prepare_path(path, evaluation={"fraction": 0.1})
    assert (len(prepared.train), len(prepared.evaluation)) == (45, 5)
    assert sorted([*prepared.train, *prepared.evaluation], key=str) == sorted(numbered(50), key=str)
    assert prepare_path(path, seed=7, evaluation={"fraction": 0.1}).evaluation != prepared.evaluation
    unshuffled = prepare_path(path, evaluation={"fraction": 0.1}, shuffle=False)
    assert sorted(texts(unshuffled.evaluation), key=str) == sorted(texts(prepared.evaluation), key=str)


def test_evaluation_source_is_used_whole(write: Write, prepare_path: Prepare) -> None:
    evaluation = {"source": {"workspace": {"path": write([{"text": "x"}, {"text": "y"}], "heldout.jsonl")}}}
    prepared = prepare_path(write(numbered(9)), evaluation=evaluation, maxExamples=1)
    assert (len(prepared.train), prepared.evaluation) == (1, [{"text": "x"}, {"text": "y"}])
    assert prepared.statistics.row_count == 11


def test_evaluation_source_of_another_format_is_refused(write: Write, prepare_path: Prepare) -> None:
    evaluation = {"source": {"workspace": {"path": write([{"prompt": "x", "completion": "y"}], "heldout.jsonl")}}}
    with pytest.raises(DatasetError, match=r"heldout\.jsonl line 1: column 'text' is missing"):
        prepare_path(write(numbered(9)), evaluation=evaluation)


def test_missing_evaluation_source_is_named_by_its_field(write: Write, prepare_path: Prepare) -> None:
    evaluation = {"source": {"workspace": {"path": "missing.jsonl"}}}
    with pytest.raises(DatasetError, match=r"^spec\.dataset\.evaluation\.source\.workspace\.path: there is no"):
        prepare_path(write(numbered(9)), evaluation=evaluation)


def test_one_example_is_not_split_and_that_is_noted(write: Write, prepare_path: Prepare) -> None:
    prepared = prepare_path(write(numbered(1)), evaluation={"fraction": 0.5})
    assert (len(prepared.train), len(prepared.evaluation)) == (1, 0)
    assert [note.code for note in prepared.findings.listed] == [FindingCode.NO_EVALUATION]


def test_statistics_count_what_was_read_and_used(write: Write, prepare_path: Prepare) -> None:
    prepared = prepare_path(write([*numbered(8), *numbered(2)]), evaluation={"fraction": 0.2})
    assert prepared.statistics.to_json() == {
        "row_count": 10,
        "train_count": 8,
        "evaluation_count": 2,
        "duplicate_count": 2,
        "character_count": 8 * len('{"text":"example 0"}'),
        "longest_character_count": len('{"text":"example 0"}'),
    }
    assert [str(note) for note in prepared.findings.listed] == ["2 examples occur more than once"]


def test_digest_depends_on_examples_order_and_split_only(write: Write, prepare_path: Prepare) -> None:
    path = write(numbered(9))
    first = prepare_path(path).digest
    assert first == "sha256:" + first.removeprefix("sha256:").lower()
    assert len(first) == 71
    as_list = write(
        '[{"text": "example 0"}' + "".join(f', {{"text": "example {n}"}}' for n in range(1, 9)) + "]", "a.json"
    )
    assert prepare_path(as_list).digest == first
    others = [
        prepare_path(path, seed=1),
        prepare_path(path, maxExamples=8),
        prepare_path(path, evaluation={"fraction": 0.1}),
    ]
    assert len({first, *(other.digest for other in others)}) == 4


CHATS = [
    {"messages": [{"role": "user", "content": f"Häuser {n}?"}, {"role": "assistant", "content": f"{n % 7} 😀"}]}
    for n in range(60)
]
PAIRS = [{"prompt": f"p{n}", "chosen": f"c{n % 5}", "rejected": f"r{n}"} for n in range(30)]


@pytest.mark.parametrize(
    ("rows", "method", "fields", "digest"),
    [
        (
            CHATS,
            Method.SFT,
            {"evaluation": {"fraction": 0.1}},
            "24e7d4a01328bd0cbecc6dc375ea17aa4804349cc4eb132f2a7e76726000d22d",
        ),
        (CHATS, Method.SFT, {"maxExamples": 7}, "f94c2e05bafd33bdf1e0cf19554d0d0ef1828d4d522af9c8ea02368a99e0f618"),
        (
            PAIRS,
            Method.DPO,
            {"evaluation": {"fraction": 0.25}, "shuffle": False},
            "df54e8269925c1a5c8e09f972b5498fa6707d0fd046d3087a8ea45d7cec39706",
        ),
    ],
)
def test_digest_of_a_dataset_never_changes(
    write: Write, prepare_path: Prepare, rows: list[Any], method: Method, fields: dict[str, Any], digest: str
) -> None:
    """Checkpoints and the provenance of adapters refer to it: order, choice and split are what they always were."""
    assert prepare_path(write(rows), method, **fields).digest == f"sha256:{digest}"


def test_report_receives_every_finding(tmp_path: Path, write: Write) -> None:
    spec = DatasetSpec.model_validate({"source": {"workspace": {"path": write([{"text": ""}] * 30)}}})
    received: list[Finding] = []
    with pytest.raises(DatasetError):
        prepare(spec, Method.SFT, 0, tmp_path, report=received.append)
    assert [finding.row for finding in received] == list(range(1, 31))


def test_kubectl_example_dataset_is_usable(prepare_path: Prepare) -> None:
    root = Path(__file__).parents[3] / "examples"
    spec = DatasetSpec.model_validate(
        {"source": {"workspace": {"path": "datasets/kubectl"}}, "evaluation": {"fraction": 0.1}}
    )
    prepared = prepare(spec, Method.SFT, 42, root)
    assert prepared.format is DatasetFormat.MESSAGES
    assert len(prepared.findings) == 0
    assert len(prepared.train) >= 180


def test_package_imports_neither_torch_nor_datasets() -> None:
    script = (
        "import sys; import fettle_data.prepare, fettle_data.preview; "
        "print([name for name in ('torch', 'transformers', 'datasets', 'pyarrow', 'jinja2') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
