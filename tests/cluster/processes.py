"""The processes of one cluster: started here, known by pid and start time, and ended by nobody's name.

A home outlives the program that started its cluster, so what is known is kept in a file and read every time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.cluster.machine import SEARCH_PATH

STATE_FILE = "processes.json"
# A process begins only when it is written down who it is: if we are killed before, the pipe ends, and so does it.
GATE = 'read -r go && exec "$@" </dev/null'


class ClusterError(RuntimeError):
    """The cluster did not do what was asked; the message says what, and where its logs are."""


class Process(NamedTuple):
    """A pid alone names another process sooner or later; with the start time it names one for good."""

    pid: int
    started_at: str


def run(*argv: object, stdin: int | Any = subprocess.DEVNULL) -> str:
    """Runs a program to its end and returns its output."""
    words = [str(word) for word in argv]
    finished = subprocess.run(words, stdin=stdin, capture_output=True, text=True, env=clean_environment())
    if finished.returncode:
        raise ClusterError(f"`{' '.join(words)}` failed ({finished.returncode}): {finished.stderr.strip()}")
    return finished.stdout


def clean_environment() -> dict[str, str]:
    """Our environment, without what would lead the cluster's own traffic through a proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "PATH": SEARCH_PATH}


def started_at(pid: int) -> str | None:
    """The start time of a living process in clock ticks since the boot; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    state, thread_count = fields[0], int(fields[17])
    # A first thread that has ended says nothing about the others, which may still hold locks.
    return None if state in "ZX" and thread_count <= 1 else fields[19]


def children(pid: int) -> list[int]:
    """The pids of the direct children of a process."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def write_atomically(path: Path, content: object) -> None:
    """Writes JSON such that who is killed meanwhile leaves the old content or the new."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)


def wait_until(what: str, check: Callable[[], object], seconds: float) -> None:
    """Polls until the check is true; a ClusterError after the deadline."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not so after {seconds:.0f} s")
        time.sleep(0.05)


class Processes:
    """What runs for the cluster in one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "log"
        self._file = home / STATE_FILE

    def start(self, name: str, *argv: object, keep_open: tuple[int, ...] = ()) -> int:
        """Starts a process in a session of its own and returns its pid.

        The descriptors in `keep_open` stay open in it: the locks on them last as long as the process.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        words = ["sh", "-c", GATE, "sh", *(str(word) for word in argv)]
        gate, opener = os.pipe()
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions: list[Any] = [
            (os.POSIX_SPAWN_DUP2, gate, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.logs / name), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            # Onto itself: clears close-on-exec for this one process, not for others started meanwhile.
            *((os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in keep_open),
        ]
        try:
            # Not Popen: the process shall outlive us without a warning that it does.
            pid = os.posix_spawnp("sh", words, clean_environment(), file_actions=actions, setsid=True)
            self.adopt(name, pid)
            os.write(opener, b"go\n")
        finally:
            os.close(gate)
            os.close(opener)
        return pid

    def adopt(self, name: str, pid: int) -> None:
        """Takes over a process that one of ours has started."""
        with self._known() as known:
            known[name] = Process(pid, started_at(pid) or "")

    def stop(self, name: str, sig: signal.Signals = signal.SIGTERM, wrapped: bool = False) -> None:
        """Ends one process and waits until it has; after 10 s by SIGKILL. No such process is no error.

        `wrapped` sends the signal to its children: nsenter and unshare pass none on.
        """
        with self._known() as known:
            process = known.get(name)
        if not process:
            return
        deadline = time.monotonic() + 10
        while started_at(process.pid) == process.started_at:
            late = time.monotonic() > deadline
            for pid in children(process.pid) if wrapped and not late else [process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else sig)
            time.sleep(0.02)
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        # Forgotten only now, so that a `down` that is killed can be repeated.
        with self._known() as known:
            del known[name]

    def stop_all(self) -> None:
        """Ends all of them, the youngest first."""
        for name in reversed(self.names()):
            self.stop(name)

    def names(self) -> list[str]:
        """The names of what was started and not stopped, the oldest first."""
        with self._known() as known:
            return list(known)

    def pid(self, name: str) -> int:
        """The pid of a living process of the cluster."""
        with self._known() as known:
            process = known.get(name)
        if not process or started_at(process.pid) != process.started_at:
            raise ClusterError(f"{name} does not run; its log is {self.logs / name}")
        return process.pid

    def wait_until(self, what: str, check: Callable[[], object], seconds: float = 60.0) -> None:
        """Polls until the check is true; a ClusterError at once when a process of the cluster has ended."""

        def checked() -> bool:
            self._refuse_the_dead()
            return bool(check())

        wait_until(f"{what} (logs in {self.logs})", checked, seconds)

    def _refuse_the_dead(self) -> None:
        with self._known() as known:
            dead = [name for name, process in known.items() if started_at(process.pid) != process.started_at]
        for name in dead:
            lines = (self.logs / name).read_text(errors="replace").splitlines()[-15:]
            raise ClusterError(f"{name} has ended. The end of {self.logs / name}:\n" + "\n".join(lines))

    @contextmanager
    def _known(self) -> Iterator[dict[str, Process]]:
        known: dict[str, Process] = {}
        with suppress(FileNotFoundError):
            known = {name: Process(*entry) for name, entry in json.loads(self._file.read_text()).items()}
        before = dict(known)
        yield known
        if known != before:
            write_atomically(self._file, known)
