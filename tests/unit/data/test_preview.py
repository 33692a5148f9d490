"""Previews show the first rows as they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from fettle_data.chat_template import ChatTemplate
from fettle_data.findings import DatasetError, FindingCode
from fettle_data.preview import FormattedPreview, preview, preview_formatted
from fettle_data.rendering import Piece
from fettle_schema.dataset import DatasetFormat, DatasetSource, DatasetSpec
from fettle_schema.training_job import Method


def source(path: str) -> DatasetSource:
    return DatasetSource.model_validate({"workspace": {"path": path}})


def test_preview_gives_the_first_rows_and_all_their_columns(tmp_path: Path, write: Callable[..., str]) -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": "c", "score": 1}, {"other": 2}]
    result = preview(source(write(rows)), tmp_path, limit=2)
    assert result.rows == rows[:2]
    assert result.columns == ["prompt", "completion", "score"]
    assert result.formats == [DatasetFormat.PROMPT_COMPLETION]
    assert result.findings == []


def test_preview_reads_past_rows_that_are_broken(tmp_path: Path, write: Callable[..., str]) -> None:
    result = preview(source(write('{"x": 1}\n{\n{"x": 2}\n')), tmp_path, limit=10)
    assert result.rows == [{"x": 1}, {"x": 2}]
    assert [(finding.row, finding.code) for finding in result.findings] == [(2, FindingCode.BROKEN_JSON)]
    assert result.formats == []


def test_preview_of_an_empty_file_is_empty(tmp_path: Path, write: Callable[..., str]) -> None:
    result = preview(source(write(b"")), tmp_path, limit=10)
    assert (result.columns, result.rows, result.formats) == ([], [], [])


def test_preview_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no"):
        preview(source("missing.jsonl"), tmp_path, limit=10)


MODEL = ChatTemplate(
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}",
    {"eos_token": "</s>"},
)
USER = {"role": "user", "content": "Pods?"}
ASSISTANT = {"role": "assistant", "content": "get pods"}


def formatted(
    path: str, workspace: Path, method: Method = Method.SFT, model: ChatTemplate | None = MODEL, **fields: Any
) -> FormattedPreview:
    spec = DatasetSpec.model_validate({"source": {"workspace": {"path": path}}, **fields})
    return preview_formatted(spec, method, workspace, 2, model)


def shown(pieces: list[Piece]) -> str:
    return "".join(f"[{piece.text}]" if piece.trained else piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("row", "method", "fields", "expected"),
    [
        ({"messages": [USER, ASSISTANT]}, Method.SFT, {}, {"text": "<user>Pods?</s><assistant>[get pods</s>]"}),
        ({"text": "all"}, Method.SFT, {}, {"text": "[all</s>]"}),
        ({"prompt": "1+1=", "completion": "2"}, Method.SFT, {}, {"text": "1+1=[2</s>]"}),
        (
            {"prompt": "1+1=", "completion": "2"},
            Method.SFT,
            {"template": {"name": "mistral"}},
            {"text": "[INST] 1+1= [/INST][ 2</s>]"},
        ),
        (
            {"prompt": "1+1=", "chosen": "2", "rejected": "3"},
            Method.DPO,
            {},
            {"chosen": "1+1=[2</s>]", "rejected": "1+1=[3</s>]"},
        ),
        (
            {"prompt": "1+1=", "chosen": "2", "rejected": "3"},
            Method.ORPO,
            {
                "template": {
                    "name": "custom",
                    "custom": {
                        "promptTemplate": "{prompt} ",
                        "chosenTemplate": "+{chosen}",
                        "rejectedTemplate": "-{rejected}",
                    },
                }
            },
            {"chosen": "1+1= [+2</s>]", "rejected": "1+1= [-3</s>]"},
        ),
        ({"prompt": "1+1=", "completion": "3", "label": False}, Method.KTO, {}, {"text": "1+1=[3</s>]"}),
    ],
)
def test_preview_shows_what_is_trained_on(
    tmp_path: Path,
    write: Callable[..., str],
    row: dict[str, Any],
    method: Method,
    fields: dict[str, Any],
    expected: dict[str, str],
) -> None:
    result = formatted(write([row]), tmp_path, method, **fields)
    assert result.findings == []
    assert [{name: shown(pieces) for name, pieces in one.texts.items()} for one in result.examples] == [expected]
    assert result.examples[0].label is (False if "label" in row else None)


def test_preview_of_what_cannot_be_trained_on_is_a_finding(tmp_path: Path, write: Callable[..., str]) -> None:
    rows = [{"messages": [USER]}, {"messages": [USER, USER, ASSISTANT]}, {"messages": []}]
    result = formatted(write(rows), tmp_path, template={"name": "mistral"})
    assert result.format is DatasetFormat.MESSAGES
    assert result.examples == []
    assert [(finding.row, finding.code, finding.place) for finding in result.findings] == [
        (1, FindingCode.NO_ASSISTANT_TURN, "data.jsonl line 1"),
        (2, FindingCode.TEMPLATE_REFUSED, "data.jsonl line 2"),
    ]


def test_preview_without_the_model_shows_what_needs_none(tmp_path: Path, write: Callable[..., str]) -> None:
    assert shown(formatted(write([{"text": "a"}]), tmp_path, model=None).examples[0].texts["text"]) == "[a]"
    chat = write([{"messages": [USER, ASSISTANT]}])
    unknown = formatted(chat, tmp_path, model=None)
    assert "own chat template is not known here" in str(unknown.findings[0])
    known = formatted(chat, tmp_path, model=None, template={"name": "chatml"})
    assert shown(known.examples[0].texts["text"]).endswith("<|im_start|>assistant\n[get pods<|im_end|>\n]")


@pytest.mark.parametrize("fields", [{}, {"columns": {"later": "text"}}])
def test_preview_of_few_rows_does_not_complain_about_the_rest(
    tmp_path: Path, write: Callable[..., str], fields: dict[str, Any]
) -> None:
    result = formatted(write([{"text": "a"}, {"text": "b"}, {"later": "c"}]), tmp_path, **fields)
    assert len(result.examples) == 2
    assert formatted(write(b""), tmp_path).examples == []


def test_preview_gives_values_that_json_knows(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": ["a"], "raw": [b"xyz"], "n": [float("nan")]}), tmp_path / "a.parquet")
    assert preview(source("a.parquet"), tmp_path, limit=1).rows == [{"text": "a", "raw": "(3 bytes)", "n": "nan"}]
