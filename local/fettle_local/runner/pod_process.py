"""The process of one pod: started under a shim, awaited, stopped, or found again after the engine was killed."""

import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from fettle_local.runner import shim
from fettle_local.runner.pod_directory import ExitRecord, PodDirectory

ENV_POD_UID = "FETTLE_POD_UID"
"""In the environment of every process of a pod, by which leftovers are found."""

_KILLED = 137
_POLL_SECONDS = 0.05


class PodProcess:
    """One running process. `wait` ends when no process of the pod is left."""

    def __init__(self, directory: PodDirectory, uid: str, grace_seconds: float) -> None:
        self._directory = directory
        self._uid = uid
        self._grace_seconds = grace_seconds
        self._shim: asyncio.subprocess.Process | None = None

    async def start(self, command: list[str], environment: dict[str, str], working_directory: str) -> None:
        """Start the command; it is asked to stop when this process dies."""
        arguments = [str(self._directory.path), str(os.getpid()), str(self._grace_seconds)]
        with self._directory.log.open("ab") as log:
            self._shim = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", shim.__file__, *arguments, *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, ENV_POD_UID: self._uid},
                cwd=working_directory,
                start_new_session=True,  # Ctrl-C in a terminal is the engine's to handle
            )

    def stop(self) -> None:
        """Ask the process to stop; it is killed after its grace period."""
        if self._shim is not None:
            with contextlib.suppress(ProcessLookupError):
                self._shim.send_signal(signal.SIGTERM)
        else:
            self._signal_leftovers(signal.SIGTERM)

    async def wait(self) -> ExitRecord:
        """How it ended. A process whose shim was killed counts as killed."""
        if self._shim is not None:
            await self._shim.wait()
        else:
            await self._wait_until_unlocked()
        self._signal_leftovers(signal.SIGKILL)
        record = self._directory.exit_record()
        if record is None:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            record = ExitRecord(_KILLED, now, now, was_signalled=True)
        return record

    async def _wait_until_unlocked(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._grace_seconds + 5
        while self._directory.is_locked():
            if asyncio.get_running_loop().time() > deadline:
                self._signal_leftovers(signal.SIGKILL)
            await asyncio.sleep(_POLL_SECONDS)

    def _signal_leftovers(self, number: signal.Signals) -> None:
        for pid in _processes_with(f"{ENV_POD_UID}={self._uid}"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def _processes_with(variable: str) -> list[int]:
    """Processes of this machine that were started with this variable (Linux)."""
    marker, found = variable.encode(), []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if marker in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid()]
