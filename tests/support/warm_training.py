"""Trainings in copies of a process that has imported the libraries: of a tiny training, imports are nine tenths.

For tables of trainings. Such a run has no supervisor and no interpreter of its own: what is about those, or about
signals, is tested with `runs.finish_run`.
"""

import os
import sys
from multiprocessing import get_context

from tests.support.runs import PATIENCE_SECONDS, RunFiles, environment

_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.support.imported_libraries"])


def train(files: RunFiles, timeout_seconds: float = PATIENCE_SECONDS, **changes: str) -> int:
    """Do the run; its exit code. Its output is in log.txt."""
    process = _PROCESSES.Process(target=_run, args=(files, environment(files, **changes)))
    process.start()
    process.join(timeout_seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(files: RunFiles, given: dict[str, str]) -> None:
    files.directory.mkdir(parents=True, exist_ok=True)
    with (files.directory / "log.txt").open("a", buffering=1) as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        sys.stdout = sys.stderr = log
        os.environ.update(given)
        from fettle_trainer.run import main

        code = main([str(files.run_file)], os.environ)
        os._exit(code)
