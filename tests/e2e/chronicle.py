"""Everything that training jobs were seen as, from one watch: what passes by is not missed, waiting costs nothing."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.cluster import Cluster, ClusterError, build
from tests.cluster.processes import clean_environment, wait_until

Status = dict[str, Any]


class Chronicle:
    """The statuses of all training jobs of a cluster, from when it is entered until it is left."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._file = folder / "training-jobs.json"
        self._read = 0
        self._rest = ""
        self._statuses: defaultdict[str, list[Status]] = defaultdict(list)
        self._gone: set[str] = set()

    def __enter__(self) -> Self:
        kubectl = [str(build.kubebox_path() / "kubectl"), f"--kubeconfig={self._cluster.kubeconfig}"]
        watch = ["get", "trainingjobs", "--all-namespaces", "--watch", "--output-watch-events", "-o", "json"]
        with self._file.open("w") as output:
            self._process = subprocess.Popen([*kubectl, *watch], stdout=output, env=clean_environment())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def statuses(self, job: str) -> list[Status]:
        """Every status that a job had, the oldest first."""
        self._catch_up()
        return self._statuses[job]

    def status(self, job: str) -> Status:
        """The newest of them; empty until there is one."""
        return (self.statuses(job) or [{}])[-1]

    def is_gone(self, job: str) -> bool:
        """Whether the job was deleted."""
        self._catch_up()
        return job in self._gone

    def reasons(self, job: str) -> set[tuple[str, str, str]]:
        """Type, status and reason of every condition that the job ever had."""
        conditions = (c for status in self.statuses(job) for c in status.get("conditions") or [])
        return {(condition["type"], condition["status"], condition["reason"]) for condition in conditions}

    def phases(self, job: str) -> list[tuple[str, str]]:
        """Phase and reason of a job, as they followed one another."""
        seen = [(str(status.get("phase")), str(status.get("reason"))) for status in self.statuses(job) if status]
        return [pair for pair, before in zip(seen, [None, *seen], strict=False) if pair != before]

    def wait(self, job: str, *phases: str, seconds: float = 120) -> Status:
        """The first status in one of these phases, or in `Phase/Reason`; tells what there was instead."""
        what = f"{job} is {' or '.join(phases)}"
        return self.wait_until(job, lambda status: {_phase(status), _full(status)} & set(phases), what, seconds)

    def wait_until(self, job: str, holds: Callable[[Status], object], what: str = "", seconds: float = 120) -> Status:
        """The first status of which something holds."""
        found: list[Status] = []

        def check() -> bool:
            found[:] = filter(holds, self.statuses(job))
            return bool(found)

        try:
            wait_until(what or f"what {job} should come to", check, seconds)
        except ClusterError as error:
            raise AssertionError(f"{error}\n{self.phases(job)}\n{self.status(job)}") from error
        return found[0]

    def _catch_up(self) -> None:
        with self._file.open() as file:
            file.seek(self._read)
            text = self._rest + file.read()
            self._read = file.tell()
        decoder = json.JSONDecoder()
        while text := text.lstrip():
            try:
                event, end = decoder.raw_decode(text)
            except json.JSONDecodeError:  # the rest of it is still to come
                break
            self._take(event)
            text = text[end:]
        self._rest = text

    def _take(self, event: dict[str, Any]) -> None:
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            self._gone.add(name)
        else:
            self._statuses[name].append(event["object"].get("status") or {})


def _phase(status: Status) -> str:
    return str(status.get("phase"))


def _full(status: Status) -> str:
    return f"{status.get('phase')}/{status.get('reason')}"
