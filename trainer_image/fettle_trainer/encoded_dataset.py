"""Encoded examples in a file that is mapped into memory: a dataset larger than the memory can be trained on."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fettle_trainer.encoding import EncodedRow

_ROWS_AT_ONCE = 1000


def write_dataset(rows: Iterable[EncodedRow], path: Path) -> Any:
    """Write `rows` to `path` and open it as a `datasets.Dataset`; None if there is no row."""
    import pyarrow as pa
    from datasets import Dataset

    iterator = iter(rows)
    first = list(islice(iterator, _ROWS_AT_ONCE))
    if not first:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(name, _arrow_type(value)) for name, value in first[0].items()])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        part = first
        while part:
            writer.write_batch(pa.RecordBatch.from_pylist(part, schema=schema))
            part = list(islice(iterator, _ROWS_AT_ONCE))
    return Dataset.from_file(str(path))


def with_mismatched_completions(rows: Iterable[EncodedRow], batch_size: int) -> Iterator[EncodedRow]:
    """Rows of kto with `KL_completion_ids`: the completion of the row before, within each micro-batch.

    KTO (Ethayarajh et al. 2024, section 4.1) estimates the KL term from prompts with answers of other prompts.
    """
    iterator = iter(rows)
    while part := list(islice(iterator, batch_size)):
        for row, before in zip(part, [part[-1], *part[:-1]], strict=True):
            yield {**row, "KL_completion_ids": before["completion_ids"]}


def _arrow_type(value: object) -> Any:
    import pyarrow as pa

    return pa.bool_() if isinstance(value, bool) else pa.list_(pa.int32())
