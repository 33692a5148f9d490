"""Every way in which a dataset can be bad ends in an error that says what, where, and what to do."""

import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from fettle_data.findings import DatasetError, FindingCode
from fettle_data.lines import MAX_ROW_BYTES
from fettle_data.prepare import PreparedDataset
from fettle_schema.training_job import Method

GOOD = {
    "messages": [{"role": "user", "content": "Show the pods"}, {"role": "assistant", "content": "kubectl get pods"}]
}
GOOD_LINE = json.dumps(GOOD)


def parquet_of(rows: list[dict[str, Any]], **columns: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, pa.schema(columns) if columns else None), sink)
    return sink.getvalue()


def arrow_of(rows: list[dict[str, Any]], *, is_stream: bool = False) -> bytes:
    sink, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with (pa.ipc.new_stream if is_stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


PARQUET = parquet_of([{"text": "a" * 100}] * 9)
ARROW = arrow_of([{"text": "a" * 100}] * 9)
STREAM = arrow_of([{"text": "a" * 100}] * 9, is_stream=True)


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

BAD_TABLES: list[tuple[str, str, bytes, Method, FindingCode, list[str]]] = [
    (
        "no parquet",
        "a.parquet",
        b"text\na\n",
        Method.SFT,
        FindingCode.BROKEN_TABLE,
        ["a.parquet", "not a whole Parquet"],
    ),
    ("empty parquet file", "a.parquet", b"", Method.SFT, FindingCode.BROKEN_TABLE, ["a.parquet", "0 bytes"]),
    ("half a parquet file", "a.parquet", PARQUET[:-40], Method.SFT, FindingCode.BROKEN_TABLE, ["not a whole Parquet"]),
    (
        "corrupt parquet",
        "a.parquet",
        PARQUET[:8] + b"\xff" * 30 + PARQUET[38:],
        Method.SFT,
        FindingCode.BROKEN_TABLE,
        [],
    ),
    ("parquet without rows", "a.parquet", parquet_of([], text=pa.string()), Method.SFT, FindingCode.EMPTY_DATASET, []),
    ("truncated arrow file", "a.arrow", ARROW[:-40], Method.SFT, FindingCode.BROKEN_TABLE, ["not a whole Arrow file"]),
    (
        "truncated arrow stream",
        "s.arrow",
        STREAM[: len(STREAM) // 2],
        Method.SFT,
        FindingCode.BROKEN_TABLE,
        ["s.arrow"],
    ),
    ("feather that is json", "a.feather", b'{"text": "a"}', Method.SFT, FindingCode.BROKEN_TABLE, ["a.feather"]),
    (
        "text that is a number",
        "a.parquet",
        parquet_of([{"text": 1}, {"text": 2}]),
        Method.SFT,
        FindingCode.WRONG_TYPE,
        ["a.parquet row 1", "a.parquet row 2", "2 of 2 rows", "'text' is a number"],
    ),
    (
        "text that is bytes",
        "a.parquet",
        parquet_of([{"text": b"a"}]),
        Method.SFT,
        FindingCode.WRONG_TYPE,
        ["row 1", "of type bytes; a string"],
    ),
    (
        "messages that are structs without content",
        "a.arrow",
        arrow_of([{"messages": [{"role": "user", "text": "a"}]}]),
        Method.SFT,
        FindingCode.MISSING_COLUMN,
        ["a.arrow row 1", "messages[0] has no 'content'"],
    ),
    (
        "one null among many",
        "a.parquet",
        parquet_of([{"text": "a"}] * 400 + [{"text": None}]),
        Method.SFT,
        FindingCode.MISSING_COLUMN,
        ["a.parquet row 401", "'text' is null"],
    ),
    (
        "label that is a number",
        "a.parquet",
        parquet_of([{"prompt": "a", "completion": "b", "label": 1}]),
        Method.KTO,
        FindingCode.WRONG_TYPE,
        ["row 1", "'label' is a number; true or false"],
    ),
    (
        "messages that are broken JSON text",
        "a.csv",
        b'messages\n"[{""role"": ""user""}"\n',
        Method.SFT,
        FindingCode.BROKEN_JSON,
        ["a.csv line 2", "'messages' is a string", "no valid JSON at column 18"],
    ),
    (
        "label that is a word",
        "a.csv",
        b"prompt,completion,label\na,b,good\n",
        Method.KTO,
        FindingCode.WRONG_TYPE,
        ["line 2", "'label' is a string; true or false"],
    ),
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


@pytest.mark.parametrize(
    ("path", "content", "method", "code", "words"),
    [case[1:] for case in BAD_TABLES],
    ids=[case[0] for case in BAD_TABLES],
)
def test_bad_table_is_refused_with_place_and_hint(
    write: Callable[..., str],
    prepare_path: Callable[..., PreparedDataset],
    path: str,
    content: bytes,
    method: Method,
    code: FindingCode,
    words: list[str],
) -> None:
    with pytest.raises(DatasetError) as caught:
        prepare_path(write(content, path), method)
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


def test_custom_template_that_is_none_is_refused_before_anything_is_read(
    prepare_path: Callable[..., PreparedDataset],
) -> None:
    template = {"name": "custom", "custom": {"promptTemplate": "{prompt}", "rejectedTemplate": "no place for it"}}
    with pytest.raises(
        DatasetError, match=r"^spec\.dataset\.template\.custom\.rejectedTemplate: there is no"
    ) as caught:
        prepare_path("missing.jsonl", template=template)
    assert caught.value.code == FindingCode.WRONG_TEMPLATE
    assert caught.value.hint


def test_bad_row_is_found_beyond_max_examples(
    write: Callable[..., str], prepare_path: Callable[..., PreparedDataset]
) -> None:
    path = write([{"text": "a"}, {"text": "b"}, {"text": ""}])
    with pytest.raises(DatasetError, match="line 3"):
        prepare_path(path, maxExamples=1, shuffle=False)
