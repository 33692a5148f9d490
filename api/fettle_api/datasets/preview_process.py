"""`python -m fettle_api.datasets.preview_process`: reads, formats or counts rows of one dataset under limits, and ends.

A process of its own, because a dataset is hostile: a file may hold rows of any size, or break a reader's native code.
Input: one JSON object; with `dataset` rows are shown as they are trained on, without a limit all rows are counted.
Output: one JSON object with `rows`, `examples`, `count` or `error`.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fettle_data.rendering import Piece
    from fettle_schema.dataset import DatasetSource, DatasetSpec
    from fettle_schema.training_job import Method

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
_MAX_TEXT = 20_000
_MAX_ITEMS = 1_000
_MAX_FINDING = 500


def main() -> None:
    """Read the order, answer."""
    order = json.load(sys.stdin)
    _limit(order["memory_bytes"], order["cpu_seconds"])
    sys.stdout.buffer.write(json.dumps(_answer(order), ensure_ascii=False, allow_nan=False).encode())


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    from fettle_data.findings import DatasetError
    from fettle_schema.dataset import DatasetSource

    source, workspace = DatasetSource.model_validate(order["source"]), Path(order["workspace"])
    try:
        if "dataset" in order:
            return _formatted(order, workspace)
        return _count(source, workspace) if order["limit"] is None else _preview(source, workspace, order["limit"])
    except DatasetError as error:
        return {"error": str(error)[:_MAX_FINDING], "hint": error.hint}
    except MemoryError:
        return {"error": "the first rows are too large to be shown", "hint": ""}
    except OSError as error:
        return {"error": f"the dataset cannot be read: {os.strerror(error.errno or 0)}", "hint": ""}


def _count(source: "DatasetSource", workspace: Path) -> dict[str, Any]:
    from fettle_data.rows import Row
    from fettle_data.source import open_rows

    return {"count": sum(isinstance(row, Row) for row in open_rows(source, workspace))}


def _preview(source: "DatasetSource", workspace: Path, limit: int) -> dict[str, Any]:
    from fettle_data.preview import preview

    found = preview(source, workspace, limit)
    rows = [_shortened(row) for row in found.rows]
    while rows and len(json.dumps(rows)) > MAX_OUTPUT_BYTES // 2:
        rows.pop()
    return {
        "columns": [_shortened(column) for column in found.columns[:_MAX_ITEMS]],
        "rows": rows,
        "formats": [str(name) for name in found.formats],
        "findings": [str(finding)[:_MAX_FINDING] for finding in found.findings],
    }


def _formatted(order: dict[str, Any], workspace: Path) -> dict[str, Any]:
    from fettle_data.chat_template import ChatTemplate
    from fettle_data.preview import preview_formatted
    from fettle_schema.dataset import DatasetSpec

    dataset, given = DatasetSpec.model_validate(order["dataset"]), order["template"]
    model = ChatTemplate(given["text"], given["special_tokens"]) if given else None
    method = _method(order, dataset, workspace)
    found = preview_formatted(dataset, method, workspace, order["limit"], model)
    examples = [
        {"texts": {name: _halves(pieces) for name, pieces in example.texts.items()}} for example in found.examples
    ]
    while examples and len(json.dumps(examples)) > MAX_OUTPUT_BYTES // 2:
        examples.pop()
    findings = [str(finding)[:_MAX_FINDING] for finding in found.findings]
    return {"method": str(method), "examples": examples, "findings": findings}


def _method(order: dict[str, Any], dataset: "DatasetSpec", workspace: Path) -> "Method":
    """What the order says, else what the first row is made for."""
    from fettle_data.formats import METHOD_FORMATS, detect
    from fettle_data.preview import preview
    from fettle_schema.training_job import Method

    if order["method"] is not None:
        return Method(order["method"])
    columns = [dataset.columns.get(column, column) for column in preview(dataset.source, workspace, 1).columns]
    formats = [one.name for one in detect(columns)]
    for method in (Method.ORPO, Method.KTO, Method.SFT):
        if formats and formats[0] in METHOD_FORMATS[method]:
            return method
    return Method.ORPO


def _halves(pieces: "list[Piece]") -> list[str]:
    """The text up to the first answer, and from there to the end of the last one; what follows that is left out."""
    trained = [index for index, piece in enumerate(pieces) if piece.trained]
    first, last = (trained[0], trained[-1] + 1) if trained else (len(pieces), len(pieces))
    texts = ["".join(piece.text for piece in part) for part in (pieces[:first], pieces[first:last])]
    return [str(_shortened(text)) for text in texts]


def _shortened(value: Any) -> Any:
    match value:
        case str():
            # Half a surrogate pair, which a file name or a Parquet text may hold, is no text of an answer.
            text = value.encode("utf-8", "replace").decode()
            return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
        case list():
            return [_shortened(item) for item in value[:_MAX_ITEMS]]
        case dict():
            return {_shortened(key): _shortened(item) for key, item in list(value.items())[:_MAX_ITEMS]}
    return value


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main()
