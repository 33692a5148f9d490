"""Homes of the `fettle` command for tests: a tiny model, a dataset of questions and answers, and the command itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def make_home(path: Path, tiny_model: Path) -> Path:
    """A home whose workspace holds `models/tiny` and `datasets/tiny`."""
    workspace = path / "workspace"
    (workspace / "models").mkdir(parents=True)
    (workspace / "models/tiny").symlink_to(tiny_model)
    rows = [
        {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"{n} it is"}]}
        for n in range(32)
    ]
    (workspace / "datasets/tiny").mkdir(parents=True)
    (workspace / "datasets/tiny/train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def fettle(home: Path, *arguments: object) -> "subprocess.Popen[str]":
    """Start the command in a home; its output and errors come out of one pipe."""
    command = [sys.executable, "-c", "from fettle_local.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "FETTLE_HOME": str(home)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def get(home: Path, *arguments: object) -> dict[str, Any]:
    """What `fettle get … -o json` prints."""
    output, _ = fettle(home, "get", *arguments, "-o", "json").communicate(timeout=60)
    found: dict[str, Any] = json.loads(output)
    return found


def job_log(home: Path) -> str:
    """The logs of all jobs, for messages of failed tests."""
    return "".join(path.read_text() for path in home.glob("workspace/jobs/*/log.txt"))
