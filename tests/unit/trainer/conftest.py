"""A supervisor over small scripts that stand in for the training process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import RunFiles, run_config, write_run
from tests.support.small_disk import small_disk as small_disk

MakeRun = Callable[..., RunFiles]


@pytest.fixture
def scripted(tmp_path: Path) -> MakeRun:
    """`scripted("python code", …)`: a run whose training process is that code; `sys.argv[1]` is run.json."""

    def make(code: str, **changes: Any) -> RunFiles:
        workspace = tmp_path / "workspace"
        workspace.mkdir(exist_ok=True)
        script = tmp_path / "script.py"
        script.write_text(code)
        return write_run(workspace, run_config(command=[sys.executable, str(script)], **changes))

    return make
