"""`python -m tests.faults.operator_forks`: operators as processes of their own, without the second that each takes to
import what it needs.

Reads lines of JSON and answers each with one: `{"start": environment, "log": path}` with the pid,
`{"kill": pid}` with the exit status once it is gone. At the end of its input it kills what it has started.
"""

import json
import os
import signal
import sys
import traceback
from typing import Any

import kopf
import kubernetes.aio.client.rest
import kubernetes.aio.config

from fettle_operator.main import main as run_operator

__all__ = ["kopf", "kubernetes"]


def main() -> None:
    """Until the end of the input."""
    alive: set[int] = set()
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        if "start" in order:
            pid = _start(order["start"], order["log"])
            alive.add(pid)
            print(pid, flush=True)
        else:
            alive.discard(order["kill"])
            print(_end(order["kill"]), flush=True)
    for pid in alive:
        _end(pid)


def _start(environment: dict[str, str], log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.environ.update(environment)
        run_operator()
    except BaseException:  # nothing of the child may come back into the parent's loop
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _end(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
