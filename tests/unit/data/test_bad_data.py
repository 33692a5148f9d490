"""Every way in which a dataset can be bad ends in an error that says what, where, and what to do."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from fettle_data.findings import DatasetError, FindingCode
from fettle_data.lines import MAX_ROW_BYTES
from fettle_data.prepare import PreparedDataset
from fettle_schema.training_job import Method

GOOD = {
    "messages": [{"role": "user", "content": "Show the pods"}, {"role": "assistant", "content": "kubectl get pods"}]
}
GOOD_LINE = json.dumps(GOOD)


def conversation(*turns: tuple[str, object]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


BAD_FILES: list[tuple[str, bytes | str | list[Any], FindingCode, list[str]]] = [
    (
        "not utf-8",
        f"{GOOD_LINE}\n".encode() + '{"text": "é"}\n'.encode("latin-1"),
        FindingCode.NOT_UTF8,
        ["data.jsonl line 2", "0xe9", f"offset {len(GOOD_LINE) + 11} "],
    ),
    ("utf-16", GOOD_LINE.encode("utf-16"), FindingCode.NOT_UTF8, ["line 1", "UTF-16"]),
    ("utf-16 without a mark", GOOD_LINE.encode("utf-16-le"), FindingCode.NUL, ["line 1", "offset 1 "]),
    (
        "broken json on line 3",
        f'{GOOD_LINE}\n{GOOD_LINE}\n{{"messages": [}}\n',
        FindingCode.BROKEN_JSON,
        ["data.jsonl line 3", "column 15", "Expecting value"],
    ),
    ("a key twice", '{"text": "a", "text": "b"}', FindingCode.BROKEN_JSON, ["line 1", "'text' occurs twice"]),
    ("NaN", '{"text": "a", "score": NaN}', FindingCode.BROKEN_JSON, ["line 1", "NaN is not"]),
    ("half a surrogate pair", '{"text": "a \\ud83d"}', FindingCode.BROKEN_JSON, ["line 1", "surrogate"]),
    ("nested too deeply", '{"text": ' + "[" * 100_000, FindingCode.BROKEN_JSON, ["line 1", "nested too deeply"]),
    ("a number without end", '{"n": ' + "1" * 5000 + "}", FindingCode.BROKEN_JSON, ["line 1", "digits"]),
    ("row is a list", f"{GOOD_LINE}\n[1, 2]\n", FindingCode.NOT_AN_OBJECT, ["line 2", "a list", "JSON object"]),
    ("row is null", "null", FindingCode.NOT_AN_OBJECT, ["line 1", "null"]),
    ("row is a string", '"text"', FindingCode.NOT_AN_OBJECT, ["line 1", "a string"]),
    (
        "no known column",
        [{"question": "a", "answer": "b"}],
        FindingCode.UNKNOWN_FORMAT,
        ["line 1", "'question', 'answer'", "'sft'", "prompt-completion: prompt, completion"],
    ),
    (
        "mixed columns",
        [GOOD, {"text": "a"}],
        FindingCode.MISSING_COLUMN,
        ["line 2", "column 'messages' is missing", "has 'text'", "expects 'messages'"],
    ),
    ("null column", [GOOD, {"messages": None}], FindingCode.MISSING_COLUMN, ["line 2", "'messages' is null"]),
    ("empty file", b"", FindingCode.EMPTY_DATASET, ["data.jsonl", "no rows"]),
    ("blank lines only", b"\n \r\n\n", FindingCode.EMPTY_DATASET, ["data.jsonl", "no rows"]),
    ("byte order mark only", b"\xef\xbb\xbf", FindingCode.EMPTY_DATASET, ["data.jsonl", "no rows"]),
    (
        "no assistant turn",
        [GOOD, conversation(("user", "Show the pods"))],
        FindingCode.NO_ASSISTANT_TURN,
        ["line 2", "'messages'", "'assistant'"],
    ),
    ("no messages", [{"messages": []}], FindingCode.EMPTY_CONTENT, ["line 1", "empty list"]),
    (
        "empty content",
        [conversation(("user", "Show"), ("assistant", " \n"))],
        FindingCode.EMPTY_CONTENT,
        ["line 1", "messages[1].content is empty"],
    ),
    (
        "unknown role",
        [conversation(("user", "Show"), ("bot", "kubectl"))],
        FindingCode.UNKNOWN_ROLE,
        ["line 1", "messages[1].role is 'bot'", "system, user, assistant, tool"],
    ),
    (
        "content is no string",
        [conversation(("user", [{"type": "text"}]))],
        FindingCode.WRONG_TYPE,
        ["messages[0].content is a list", "a string is expected"],
    ),
    (
        "content is missing",
        [{"messages": [{"role": "user", "value": "a"}]}],
        FindingCode.MISSING_COLUMN,
        ["messages[0] has no 'content'", "'role', 'value'"],
    ),
    ("messages is a text", [{"messages": "Show"}], FindingCode.WRONG_TYPE, ["is a string", "list of messages"]),
    ("message is a text", [{"messages": ["Show"]}], FindingCode.WRONG_TYPE, ["messages[0] is a string", "an object"]),
    (
        "tool calls",
        [{"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}]}],
        FindingCode.WRONG_TYPE,
        ["messages[0] has 'tool_calls'"],
    ),
    (
        "very long line",
        b'{"text": "' + b"x" * MAX_ROW_BYTES + b'"}\n{"text": "a"}\n',
        FindingCode.LINE_TOO_LONG,
        ["line 1", str(MAX_ROW_BYTES)],
    ),
    ("nul byte", b'{"text": "a"}\n{"text": "a\0b"}\n', FindingCode.NUL, ["line 2", "offset 25 "]),
    ("nul escape", '{"text": "a\\u0000b"}', FindingCode.NUL, ["line 1", "'text'"]),
    ("empty text", [{"text": "a"}, {"text": "  "}], FindingCode.EMPTY_CONTENT, ["line 2", "'text' is empty"]),
    (
        "prompt is a text and completion is not",
        [{"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}],
        FindingCode.MIXED_SHAPES,
        ["line 1", "'prompt' is a string", "'completion' is a list"],
    ),
    (
        "texts first, conversations then",
        [
            {"prompt": "a", "completion": "b"},
            {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
        ],
        FindingCode.MIXED_SHAPES,
        ["line 2", "prompt (messages)", "prompt (text)"],
    ),
    ("completion is a number", [{"prompt": "a", "completion": 1}], FindingCode.WRONG_TYPE, ["line 1", "a number"]),
]


@pytest.mark.parametrize(
    ("content", "code", "words"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES]
)
def test_bad_file_is_refused_with_place_and_hint(
    write: Callable[..., str],
    prepare_path: Callable[..., PreparedDataset],
    content: bytes | str | list[Any],
    code: FindingCode,
    words: list[str],
) -> None:
    with pytest.raises(DatasetError) as caught:
        prepare_path(write(content))
    assert caught.value.code == code
    assert caught.value.hint
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_first_20_of_many_findings_are_listed_with_counts(
    write: Callable[..., str], prepare_path: Callable[..., PreparedDataset]
) -> None:
    bad = [conversation(("user", "a"))] * 30 + [conversation(("assistant", ""))] * 5
    with pytest.raises(DatasetError) as caught:
        prepare_path(write([GOOD, *bad, GOOD]))
    message = str(caught.value)
    assert "35 of 37 rows cannot be used (30 NoAssistantTurn, 5 EmptyContent)" in message
    assert message.count("data.jsonl line ") == 20
    assert message.endswith("and 15 more")
    assert "answer of the assistant" in caught.value.hint
    assert caught.value.findings is not None
    assert caught.value.findings.to_json()["counts"] == {"NoAssistantTurn": 30, "EmptyContent": 5}
    listed = caught.value.findings.listed
    assert [finding.row for finding in listed] == list(range(2, 22))
    assert listed[0].column == "messages"


def test_messages_never_quote_the_text_of_an_example(
    write: Callable[..., str], prepare_path: Callable[..., PreparedDataset]
) -> None:
    secret = "hunter2-hunter2"
    rows = [GOOD, conversation(("user", secret)), {"text": secret}, conversation(("assistant", [secret]))]
    lines = "".join(json.dumps(row) + "\n" for row in rows) + f'{{"messages": "{secret}\n["{secret}"]\n"{secret}"\n'
    with pytest.raises(DatasetError) as caught:
        prepare_path(write(lines))
    assert secret not in str(caught.value)
    assert secret not in caught.value.hint


@pytest.mark.parametrize(
    ("row", "method", "words"),
    [
        (
            {"prompt": "a", "chosen": "b", "rejected": "c"},
            Method.SFT,
            ["'preference'", "'sft'", "messages, prompt-completion"],
        ),
        ({"prompt": "a", "completion": "b", "label": False}, Method.SFT, ["'unpaired-preference'", "'sft'"]),
        (GOOD, Method.DPO, ["'messages'", "'dpo'", "trains on preference"]),
        ({"text": "a"}, Method.MERGE, ["'text'", "'merge'", "no dataset"]),
    ],
)
def test_wrong_format_for_the_method_names_both(
    write: Callable[..., str],
    prepare_path: Callable[..., PreparedDataset],
    row: dict[str, object],
    method: Method,
    words: list[str],
) -> None:
    with pytest.raises(DatasetError) as caught:
        prepare_path(write([row]), method)
    assert caught.value.code == FindingCode.WRONG_FORMAT
    assert "Use one of the methods" in caught.value.hint
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"question": "promt"}, ["'question' becomes 'promt'", "prompt"]),
        ({"question": "prompt", "text": "prompt"}, ["several columns become 'prompt'"]),
        ({"inputs": "input"}, ["no row", "'inputs'"]),
    ],
)
def test_unusable_column_mapping_is_refused(
    write: Callable[..., str],
    prepare_path: Callable[..., PreparedDataset],
    columns: dict[str, str],
    words: list[str],
) -> None:
    path = write([{"instruction": "a", "output": "b"}])
    with pytest.raises(DatasetError) as caught:
        prepare_path(path, columns=columns)
    assert caught.value.code == FindingCode.WRONG_COLUMNS
    assert str(caught.value).startswith("spec.dataset.columns: ")
    for word in words:
        assert word in str(caught.value)


def test_bad_row_is_found_beyond_max_examples(
    write: Callable[..., str], prepare_path: Callable[..., PreparedDataset]
) -> None:
    path = write([{"text": "a"}, {"text": "b"}, {"text": ""}])
    with pytest.raises(DatasetError, match="line 3"):
        prepare_path(path, maxExamples=1, shuffle=False)
