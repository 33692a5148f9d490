"""The parent of one pod's process: a small script, so that a run and its exit status outlive a killed engine.

It holds a lock on the pod's directory, starts the command, forwards SIGTERM, kills after the grace period, leaves no
process behind and writes how it ended to `exit.json`. When the engine dies it asks the command to stop. Standard
library only; started with `python -I -S shim.py DIRECTORY ENGINE_PID GRACE_SECONDS COMMAND…`.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

LOCK_FILE = "lock"
EXIT_FILE = "exit.json"

_LOCKED = 125
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status as a shell would."""
    directory, engine_pid, grace_seconds, command = (
        Path(arguments[0]),
        int(arguments[1]),
        float(arguments[2]),
        arguments[3:],
    )
    lock = os.open(directory / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _LOCKED
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    started = _now()
    was_signalled = False
    try:
        status, was_signalled = _supervise(engine_pid, grace_seconds, command, lock)
    except OSError as error:
        print(f"cannot start {command[0]!r}: {error.strerror}", file=sys.stderr, flush=True)
        status = 127
    ended = {"exitCode": status, "startedAt": started, "finishedAt": _now(), "wasSignalled": was_signalled}
    _write(directory / EXIT_FILE, ended)
    return status


def _supervise(engine_pid: int, grace_seconds: float, command: list[str], lock: int) -> tuple[int, bool]:
    """Exit status, and whether the command was asked to stop."""
    parent = os.getpid()
    child = subprocess.Popen(command, process_group=0, pass_fds=(lock,), preexec_fn=lambda: _prepare_child(parent))
    deadline: float | None = None
    while child.poll() is None:
        engine_died = os.getppid() != engine_pid
        if deadline is None and (engine_died or _next_signal(deadline) in (signal.SIGTERM, signal.SIGINT)):
            deadline = time.monotonic() + grace_seconds
            child.terminate()
        elif deadline is not None:
            _next_signal(deadline)
            if time.monotonic() >= deadline:
                _kill_group(child.pid)
    was_signalled = deadline is not None or os.getppid() != engine_pid or signal.SIGTERM in signal.sigpending()
    _kill_group(child.pid)
    _kill_orphans()
    return (child.returncode if child.returncode >= 0 else 128 - child.returncode), was_signalled


def _next_signal(deadline: float | None) -> int | None:
    timeout = 5.0 if deadline is None else max(0.01, min(5.0, deadline - time.monotonic()))
    waited = signal.sigtimedwait({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}, timeout)
    return waited.si_signo if waited else None


def _prepare_child(parent: int) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _kill_orphans() -> None:
    """Kill what the command left behind: orphans become children of this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            for pid in children.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError):  # not on macOS: there a killed engine leaves the run alone
        ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(path: Path, content: dict[str, object]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.rename(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
