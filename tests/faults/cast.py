"""Who acts on a job beside the operator: its user and the kubelet, as the job's story has it."""

import asyncio
import json
import random
from contextlib import suppress
from typing import Any

from fettle_client.protocol import PODS, TRAINING_JOBS, NotFoundError, ResourceClient
from fettle_schema.names import LABEL_ATTEMPT, LABEL_JOB
from tests.faults.history import FINISHED, Change, Expected
from tests.faults.stories import STORIES, Story
from tests.support.fake_kubelet import run_result, training_job

_RUN_SECONDS = (0.0, 1.5)
_STARTED = "2026-01-01T00:00:00Z"
_ENDED = "2026-01-01T00:01:00Z"


class Cast:
    """Plays the jobs of one namespace, by what it hears of them; `ended` is set when all have a verdict."""

    def __init__(self, client: ResourceClient, namespace: str, stories: dict[str, str], seed: int) -> None:
        self.ended = asyncio.Event()
        self.uids: dict[str, str] = {}
        self._client, self._namespace = client, namespace
        self._stories: dict[str, Story] = {name: STORIES[story] for name, story in stories.items()}
        self._edits = {name: list(story.edits) for name, story in self._stories.items()}
        self._draw = random.Random(f"cast {seed}")
        self._pods: set[str] = set()
        self._finished: set[str] = set()
        self._acts: asyncio.TaskGroup | None = None

    async def submit(self) -> None:
        """Create the jobs; who is accepted is in `uids`."""
        for name, story in self._stories.items():
            manifest = training_job(name, **dict(story.spec))
            manifest["metadata"]["namespace"] = self._namespace
            created = await self._client.create(TRAINING_JOBS, manifest)
            self.uids[name] = created["metadata"]["uid"]

    @property
    def expected(self) -> dict[str, Expected]:
        """What must come of the jobs that were accepted."""
        return {
            name: Expected(uid, story.phase, story.attempts, story.failures, story.preemptions)
            for name, uid in self.uids.items()
            for story in [self._stories[name]]
        }

    async def play(self) -> None:
        """Act until all jobs have a verdict."""
        async with asyncio.TaskGroup() as self._acts:
            await self.ended.wait()

    def hear(self, change: Change) -> None:
        """A change in the namespace."""
        if self._acts is None or self.ended.is_set():
            return
        is_run = LABEL_JOB in (change.manifest["metadata"].get("labels") or {})  # and no pod that examines an Adapter
        if change.kind == "Pod" and is_run and change.type == "ADDED" and change.uid not in self._pods:
            self._pods.add(change.uid)
            self._acts.create_task(self._live(change.manifest))
        elif change.kind == "TrainingJob":
            self._follow(change)

    def _follow(self, change: Change) -> None:
        assert self._acts is not None
        phase = (change.manifest.get("status") or {}).get("phase")
        edits = self._edits[change.name]
        if edits and edits[0][0] == phase:
            self._acts.create_task(self._edit(change.name, edits.pop(0)[1]))
        if phase in FINISHED:
            self._finished.add(change.name)
        if self._finished == self._stories.keys():
            self.ended.set()

    async def _edit(self, name: str, spec: dict[str, Any]) -> None:
        await self._client.patch(TRAINING_JOBS, name, self._namespace, {"spec": spec})

    async def _live(self, pod: dict[str, Any]) -> None:
        """The kubelet's part in the life of a pod: it does not wait for the operator."""
        labels = pod["metadata"]["labels"]
        job, attempt = labels[LABEL_JOB], int(labels[LABEL_ATTEMPT])
        exit_codes = self._stories[job].exit_codes
        exit_code = exit_codes[attempt - 1] if attempt <= len(exit_codes) else 0
        with suppress(NotFoundError):  # deleted meanwhile
            await asyncio.sleep(self._draw.uniform(*_RUN_SECONDS) / 2)
            await self._report(pod, "Running", {"running": {"startedAt": _STARTED}})
            if exit_code is None:
                return
            await asyncio.sleep(self._draw.uniform(*_RUN_SECONDS))
            message = json.dumps(run_result(exit_code, step=100))
            state = {"exitCode": exit_code, "message": message, "startedAt": _STARTED, "finishedAt": _ENDED}
            await self._report(pod, "Failed" if exit_code else "Succeeded", {"terminated": state})

    async def _report(self, pod: dict[str, Any], phase: str, state: dict[str, Any]) -> None:
        container = {"name": "trainer", "image": "fettle-trainer:test", "imageID": "", "ready": False}
        status = {"phase": phase, "containerStatuses": [{**container, "restartCount": 0, "state": state}]}
        await self._client.apply_status(PODS, pod["metadata"]["name"], self._namespace, status, "test-kubelet")
