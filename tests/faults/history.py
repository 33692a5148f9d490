"""What happened in one namespace, and whether it may have. Pure: versions of resources in, sentences out.

Versions of one etcd are in one order over all kinds, so "before" means something between a Job and its TrainingJob.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fettle_schema.names import LABEL_ATTEMPT, LABEL_JOB_UID, PREFLIGHT_ATTEMPT

Manifest = dict[str, Any]

FINISHED = ("Succeeded", "Failed", "Cancelled")
_VERDICT = ("phase", "reason", "message", "failure", "completionTime", "adapter", "output")


@dataclass(frozen=True)
class Change:
    """One version of one resource, as a watch tells it."""

    type: str
    kind: str
    manifest: Manifest

    @property
    def version(self) -> int:
        """Its place in the order of all changes."""
        return int(self.manifest["metadata"]["resourceVersion"])

    @property
    def uid(self) -> str:
        """Of the resource."""
        return str(self.manifest["metadata"]["uid"])

    @property
    def name(self) -> str:
        """Of the resource."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True)
class Expected:
    """What must come of a job that the API server has accepted."""

    uid: str
    phase: str
    attempts: int
    failures: int
    preemptions: int


def violations(history: Sequence[Change], accepted: dict[str, Expected], max_running: int | None = None) -> list[str]:
    """Everything that must not have happened; `accepted` is by name."""
    changes = sorted(history, key=lambda change: change.version)
    found: list[str] = []
    for name, expected in accepted.items():
        found += [f"{name}: {problem}" for problem in _problems_of_job(_of_job(changes, expected.uid), expected)]
        found += [f"{name}: {problem}" for problem in _problems_of_adapters(changes, expected)]
    return found + broken_rules(changes, {name: expected.uid for name, expected in accepted.items()}, max_running)


def broken_rules(history: Sequence[Change], uids: dict[str, str], max_running: int | None = None) -> list[str]:
    """What must not happen to any job, whatever was expected of it; `uids` are those of jobs, by what to call them."""
    changes = sorted(history, key=lambda change: change.version)
    found: list[str] = []
    for name, uid in uids.items():
        of_job = _of_job(changes, uid)
        found += [f"{name}: {problem}" for problem in _changed_verdicts(of_job)]
        found += [f"{name}: {problem}" for problem in _problems_of_runs(changes, of_job, uid)]
    if max_running is not None:
        found += _problems_of_queue(changes, max_running)
    return found


def _of_job(changes: Sequence[Change], uid: str) -> list[Change]:
    return [change for change in changes if change.kind == "TrainingJob" and change.uid == uid]


def _problems_of_job(of_job: Sequence[Change], expected: Expected) -> Iterator[str]:
    if not of_job or of_job[-1].type == "DELETED":
        yield "it was accepted and is lost"
        return
    status = _status(of_job[-1])
    if status.get("phase") not in FINISHED:
        yield f"it never ended: {status.get('phase')} ({status.get('message')})"
        return
    attempts = status.get("attempts") or {}
    ended = (status["phase"], *(attempts.get(name, 0) for name in ("current", "failures", "preemptions")))
    wanted = (expected.phase, expected.attempts, expected.failures, expected.preemptions)
    if ended != wanted:
        yield f"phase, attempts, failures and preemptions are {ended}, not {wanted}: {status.get('message')}"


def _changed_verdicts(of_job: Sequence[Change]) -> Iterator[str]:
    """A verdict stands from when it is written, and a failure from when it is decided on."""
    verdict: Manifest | None = None
    failure: Manifest | None = None
    for change in of_job:
        status = _status(change)
        if failure is not None and status.get("failure") != failure:
            yield f"its failure changed from {failure} to {status.get('failure')} at version {change.version}"
        failure = status.get("failure")
        shown = {name: status.get(name) for name in _VERDICT}
        if verdict is not None and shown != verdict:
            yield f"its verdict changed from {verdict} to {shown} at version {change.version}"
        verdict = shown if verdict is not None or status.get("phase") in FINISHED else None


def _problems_of_runs(changes: Sequence[Change], of_job: Sequence[Change], uid: str) -> Iterator[str]:
    """Of a job that exists: what is made for one that was deleted a moment ago is collected at once."""
    created: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if change.uid == uid and change.type == "DELETED":
            break
        if change.kind == "Job" and change.type == "ADDED" and _label(change, LABEL_JOB_UID) == uid:
            created[_label(change, LABEL_ATTEMPT)].append(change)
    for attempt, runs in created.items():
        is_repeatable = attempt == str(PREFLIGHT_ATTEMPT)
        if not is_repeatable and len({run.uid for run in runs}) > 1:
            yield f"attempt {attempt} has {len(runs)} Jobs"
    ended_at = next((change.version for change in of_job if _status(change).get("phase") in FINISHED), None)
    for run in (run for runs in created.values() for run in runs):
        if ended_at is not None and run.version > ended_at:
            yield f"Job {run.name} was created after the verdict"
    yield from _overlaps(changes, uid)


def _overlaps(changes: Sequence[Change], uid: str) -> Iterator[str]:
    """Two attempts at once would write into one workspace, and a job that rests holds no GPU."""
    live: dict[str, str] = {}
    before = None
    for change in changes:
        if change.uid == uid and change.type != "DELETED":
            phase = _status(change).get("phase")
            if live and phase in (*FINISHED, "Suspended") and before != phase:
                yield f"it is {phase} while attempts {sorted(set(live.values()))} run, at version {change.version}"
            before = phase
        if change.kind != "Pod" or _label(change, LABEL_JOB_UID) != uid:
            continue
        if change.type == "DELETED" or _status(change).get("phase") in ("Succeeded", "Failed"):
            live.pop(change.uid, None)
            continue
        live[change.uid] = _label(change, LABEL_ATTEMPT)
        if len(set(live.values())) > 1 and change.type == "ADDED":
            yield f"attempts {sorted(set(live.values()))} had pods at the same time"


def _problems_of_adapters(changes: Sequence[Change], expected: Expected) -> Iterator[str]:
    of_job = [
        change
        for change in changes
        if change.kind == "Adapter" and change.manifest["spec"]["source"].get("trainingJobUid") == expected.uid
    ]
    uids = {change.uid for change in of_job}
    wanted = 1 if expected.phase == "Succeeded" else 0
    if len(uids) != wanted:
        yield f"{len(uids)} Adapters were made, not {wanted}"
    lengths = {len(_status(change).get("history") or []) for change in of_job}
    if any(length > 1 for length in lengths):
        yield "its Adapter counts one result twice"
    if of_job and (of_job[-1].type == "DELETED" or _status(of_job[-1]).get("phase") != "Available"):
        yield f"its Adapter is {of_job[-1].type}, {_status(of_job[-1]).get('phase')}"


def _problems_of_queue(changes: Sequence[Change], max_running: int) -> Iterator[str]:
    """A job holds its place from its first attempt until it has no unfinished Job any more, has ended or is deleted."""
    running: dict[str, str] = {}
    over: set[str] = set()
    for change in changes:
        if change.kind == "TrainingJob" and (change.type == "DELETED" or _status(change).get("phase") in FINISHED):
            over.add(change.uid)
            running = {run: job for run, job in running.items() if job != change.uid}
        job = _label(change, LABEL_JOB_UID)
        if change.kind != "Job" or job in over or _label(change, LABEL_ATTEMPT) == str(PREFLIGHT_ATTEMPT):
            continue
        if change.type == "DELETED" or _is_ended(change):
            running.pop(change.uid, None)
            continue
        running[change.uid] = job
        if len(set(running.values())) > max_running and change.type == "ADDED":
            count = len(set(running.values()))
            yield f"{count} jobs ran at once in a queue of {max_running}, at version {change.version}"


def _is_ended(run: Change) -> bool:
    conditions = _status(run).get("conditions") or []
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _status(change: Change) -> Manifest:
    return change.manifest.get("status") or {}


def _label(change: Change, name: str) -> str:
    return str((change.manifest["metadata"].get("labels") or {}).get(name, ""))
