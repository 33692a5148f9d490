"""The directory of one pod: its volumes, its log, its termination message, its exit status. Files only, no process."""

import fcntl
import json
import os
import shutil
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

from fettle_client.protocol import Manifest
from fettle_local.runner.pod_template import ContainerRun, Volume, rewrite_path
from fettle_local.runner.shim import EXIT_FILE, LOCK_FILE

STOP_FILE = "stop"
"""Exists when somebody deleted the pod: its process was then stopped on purpose."""

_MAX_TERMINATION_MESSAGE = 4096


@dataclass(frozen=True)
class ExitRecord:
    """How a process ended."""

    exit_code: int
    started_at: str
    finished_at: str
    was_signalled: bool
    """The process was asked to stop, by the engine or because that died."""


@dataclass(frozen=True)
class PodDirectory:
    """The files of one pod."""

    path: Path

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.path / "log.txt"

    @property
    def termination_log(self) -> Path:
        """The file behind the container's terminationMessagePath."""
        return self.path / "termination-log"

    def prepare(self, run: ContainerRun, workspace: Path, config_maps: dict[str, Manifest]) -> dict[str, str]:
        """Make the volumes; returns mount path → directory. From now on the pod counts as started."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.termination_log.touch()
        (self.path / LOCK_FILE).touch(mode=0o600)
        directories = {run.termination_message_path: str(self.termination_log)}
        for volume in run.volumes:
            directories[volume.mount_path] = str(self._volume(volume, workspace, config_maps))
        return directories

    def exit_record(self) -> ExitRecord | None:
        """How the process ended, if it has."""
        try:
            record = json.loads((self.path / EXIT_FILE).read_text())
        except FileNotFoundError:
            return None
        return ExitRecord(record["exitCode"], record["startedAt"], record["finishedAt"], record["wasSignalled"])

    def termination_message(self) -> str:
        """What the process left as its verdict; empty if nothing."""
        try:
            return self.termination_log.read_bytes()[:_MAX_TERMINATION_MESSAGE].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def was_started(self) -> bool:
        """Whether an engine, perhaps an earlier one, got as far as `prepare`."""
        return (self.path / LOCK_FILE).exists()

    def is_locked(self) -> bool:
        """Whether a process of this pod is still there."""
        try:
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def request_stop(self) -> None:
        """Note that the process is stopped on purpose. Nothing to note where none was started."""
        if self.path.is_dir():
            (self.path / STOP_FILE).touch()

    def was_stop_requested(self) -> bool:
        """Whether the process was stopped on purpose; if not, the engine stopped, or died, under it."""
        return (self.path / STOP_FILE).exists()

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _volume(self, volume: Volume, workspace: Path, config_maps: dict[str, Manifest]) -> Path:
        if volume.kind == "persistentVolumeClaim":
            return workspace
        directory = self.path / "volumes" / volume.name
        directory.mkdir(parents=True, exist_ok=True)
        if volume.kind == "configMap":
            for key, text in (config_maps[volume.source].get("data") or {}).items():
                (directory / key).write_text(text)
        return directory


LOCAL_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
"""How threads of a process on one's own machine wait for each other: awake for microseconds, then asleep.

Asleep at once, two threads are as slow as one; awake for longer, a busy neighbour makes them ten times slower.
"""


def process_environment(
    run: ContainerRun, directories: dict[str, str], secrets: dict[str, Manifest], inherited: dict[str, str]
) -> dict[str, str]:
    """Variables of the process: the machine's, then Secrets, then the manifest's, with mount paths rewritten."""
    environment = LOCAL_THREADS | {name: value for name, value in inherited.items() if not name.startswith("FETTLE_")}
    for manifest in secrets.values():
        for name, encoded in (manifest.get("data") or {}).items():
            environment[name] = b64decode(encoded).decode()
    environment |= {name: rewrite_path(value, directories) for name, value in run.env.items()}
    if "/tmp" in directories:  # noqa: S108 - the mount path of the manifest
        environment["TMPDIR"] = directories["/tmp"]  # noqa: S108
    return environment
