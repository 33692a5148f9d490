"""A dataset of a million rows is prepared in the memory of a small one, but for an index."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

_PEAK = """
def peak():  # not ru_maxrss, which a process inherits from its parent
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
"""
_SCRIPT = """
import json, pathlib, sys, time
from fettle_data.prepare import prepare
from fettle_schema.dataset import DatasetSpec
from fettle_schema.training_job import Method

path = pathlib.Path(sys.argv[1])
source = {"workspace": {"path": path.name}}
spec = DatasetSpec.model_validate({"source": source, "evaluation": {"fraction": 0.1}})
started = time.process_time()
prepared = prepare(spec, Method.SFT, 42, path.parent)
assert prepared.train[-1]["completion"], "the last example is read"
print(json.dumps({"train": len(prepared.train), "peak": peak(), "seconds": time.process_time() - started}))
"""


def prepared(path: Path, count: int) -> dict[str, float]:
    with path.open("w") as stream:
        for number in range(count):
            stream.write(f'{{"prompt": "What is {number} plus {number}?", "completion": "It is {2 * number}."}}\n')
    result = subprocess.run(
        [sys.executable, "-c", _PEAK + _SCRIPT, str(path)], capture_output=True, text=True, check=True
    )
    values: dict[str, float] = json.loads(result.stdout)
    print(f"{count} rows: {values}")
    return values


@pytest.mark.slow
def test_ten_times_the_rows_take_less_than_four_times_the_memory(tmp_path: Path) -> None:
    """Examples that are held in memory take seven times the memory here, 600 bytes each; an index takes 50."""
    small = prepared(tmp_path / "small.jsonl", 100_000)
    large = prepared(tmp_path / "large.jsonl", 1_000_000)
    assert (small["train"], large["train"]) == (90_000, 900_000)
    assert large["peak"] < 4 * small["peak"]
    bytes_of_a_row = (large["peak"] - small["peak"]) / 900_000
    assert bytes_of_a_row < 120


_READ_SCRIPT = """
import pathlib, sys
from fettle_data.source import open_rows
from fettle_schema.dataset import DatasetSource

path = pathlib.Path(sys.argv[1])
rows = open_rows(DatasetSource.model_validate({"workspace": {"path": path.name}}), path.parent)
assert sum(1 for _ in rows) == int(sys.argv[2])
print(peak())
"""


@pytest.mark.slow
@pytest.mark.parametrize("extension", [".parquet", ".arrow"])
def test_table_of_one_row_group_is_read_in_pieces(tmp_path: Path, extension: str) -> None:
    peaks = []
    for count in (10_000, 200_000):
        path = tmp_path / f"{count}{extension}"
        table = pa.table({"text": [os.urandom(400).hex() for _ in range(count)]})
        if extension == ".parquet":
            parquet.write_table(table, path, row_group_size=count)
        else:
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table, max_chunksize=1000)
        script = [sys.executable, "-c", _PEAK + _READ_SCRIPT, str(path), str(count)]
        peaks.append(int(subprocess.run(script, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < 1.5 * peaks[0]
