"""Starting, signalling and reaping the training process, also as PID 1. Linux only; standard library only."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class ChildProcess:
    """The training process, leader of its own process group."""

    pid: int
    output: IO[bytes]
    """Its stdout and stderr."""
    _popen: subprocess.Popen[bytes]
    status: int | None = None
    """Wait status as `os.waitpid` gives it, once it has ended."""

    @property
    def exit_status(self) -> int | None:
        return os.WEXITSTATUS(self.status) if self.status is not None and os.WIFEXITED(self.status) else None

    @property
    def death_signal(self) -> int | None:
        return os.WTERMSIG(self.status) if self.status is not None and os.WIFSIGNALED(self.status) else None

    def send(self, number: int) -> None:
        """Signal the process itself, not its group: torchrun tells its workers by itself."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def has_children(self) -> bool:
        """Whether it has processes of its own, ended ones that it has not noticed included."""
        return bool(_children_of(self.pid))

    def kill_group(self) -> None:
        """Kill whatever is left of the process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def ended(self, status: int) -> None:
        self.status = status
        self._popen.returncode = os.waitstatus_to_exitcode(status)  # reaped by us, not by subprocess


def start(  # the command is the image's own, or of the job's author in his own pod
    command: Sequence[str], environment: Mapping[str, str], directory: Path, inherit: int
) -> ChildProcess:
    """Start `command`; it dies when this process does, and keeps the descriptor `inherit` open."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    parent = os.getpid()
    popen = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=directory,
        pass_fds=(inherit,),
        process_group=0,
        preexec_fn=lambda: die_with_parent(parent),  # takes no lock that another thread could hold
    )
    assert popen.stdout is not None
    return ChildProcess(popen.pid, popen.stdout, popen)


def reap(child: ChildProcess) -> None:
    """Collect every process that has ended: the child, and orphans that fell to us."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == child.pid:
            child.ended(status)


def kill_orphans(child: ChildProcess, deadline_seconds: float = 2.0) -> None:
    """Kill and reap what the child left behind, in its process group or outside it."""
    child.kill_group()
    deadline = time.monotonic() + deadline_seconds
    while (pids := _children_of(os.getpid())) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        reap(child)
        time.sleep(0.01)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process as soon as its parent, whose id is `parent`, has ended."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def _children_of(parent: int) -> list[int]:
    children = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, ValueError):
            fields = (
                Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            )
            if int(fields[1]) == parent:
                children.append(int(name))
    return children
