"""Homes of the `fettle` command for tests: a tiny model, a dataset of questions and answers, and the command itself."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def make_home(path: Path, tiny_model: Path) -> Path:
    """A home whose workspace holds `models/tiny` and `datasets/tiny`."""
    workspace = path / "workspace"
    (workspace / "models").mkdir(parents=True)
    shutil.copytree(tiny_model, workspace / "models/tiny")
    rows = [
        {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"{n} it is"}]}
        for n in range(32)
    ]
    (workspace / "datasets/tiny").mkdir(parents=True)
    (workspace / "datasets/tiny/train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def fettle(home: Path, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """Start the command in a home; its output and errors come out of one pipe."""
    command = [sys.executable, "-c", "from fettle_local.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "FETTLE_HOME": str(home), **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


@contextmanager
def running_up(home: Path, *dialects: str, **environment: str) -> Iterator[dict[str, str]]:
    """`fettle up` on free ports: the URL of each of `dialects`, and of `main`. It must end well when it is asked to."""
    ports = [option for dialect in dialects for option in ("--dialect-port", f"{dialect}=0")]
    engine = fettle(home, "up", "--port", 0, *ports, **environment)
    try:
        assert engine.stdout is not None
        urls: dict[str, str] = {}
        lines: list[str] = []
        while len(urls) <= len(dialects):
            lines.append(engine.stdout.readline())
            assert lines[-1], "".join(lines)
            name, _, url = lines[-1].strip().partition(": ")
            if url.startswith("http://127.0.0.1:"):
                urls[name] = url
        reader = threading.Thread(target=engine.stdout.read, daemon=True)  # nobody else empties the pipe
        reader.start()
        yield urls
    except BaseException:
        engine.kill()
        raise
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(60) == 0
    reader.join()
    engine.stdout.close()


def get(home: Path, *arguments: object) -> dict[str, Any]:
    """What `fettle get … -o json` prints."""
    output, _ = fettle(home, "get", *arguments, "-o", "json").communicate(timeout=60)
    found: dict[str, Any] = json.loads(output)
    return found


def job_log(home: Path) -> str:
    """The logs of all jobs, for messages of failed tests."""
    return "".join(path.read_text() for path in home.glob("workspace/jobs/*/log.txt"))
