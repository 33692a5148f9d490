"""What a cluster does to Jobs and pods, at random, by the rules of Job controller, kubelet and garbage collector."""

import json
import random
from collections.abc import Awaitable, Callable

from fettle_client.protocol import JOBS, PODS, Manifest
from fettle_schema.names import LABEL_ATTEMPT, PREFLIGHT_ATTEMPT
from tests.support.fake_kubelet import NAMESPACE, World, run_result

_EXIT_CODES = (0, 0, 1, 71, 75, 75, 85, 137)
_EXIT_CODES_OF_STOPPED = (85, 85, 0, 137, 143)
_DISRUPTED = {"type": "DisruptionTarget", "status": "True"}


class RandomCluster:
    """Each act does what can be done now, to some of the resources."""

    def __init__(self, world: World, draw: random.Random) -> None:
        self._world, self._draw = world, draw
        self._pod_count = 0

    @property
    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        """Twice in the list is twice as often."""
        usual = [self.makes_pods, self.starts_pods, self.ends_pods, self.stops_pods, self.settles_jobs]
        return [*usual, *usual, self.evicts_a_pod, self.loses_a_pod, self.collects_orphans]

    async def makes_pods(self) -> None:
        """The Job controller makes what is missing; with a podFailurePolicy only once a pod has ended."""
        for run in self._some(self._open_jobs()):
            wanted, pods = run["spec"]["parallelism"], self._pods_of(run)
            failed, live, succeeded = _counts(run, pods)
            if failed == 0:
                for _ in range(wanted - live - succeeded):
                    self._pod_count += 1
                    self._world.make_pod(run, f"{run['metadata']['name']}-{self._pod_count}")

    async def starts_pods(self) -> None:
        """The kubelet has pulled the image."""
        for pod in self._some(self._pods("Pending")):
            if not pod["metadata"].get("deletionTimestamp"):
                self._world.set_pod(pod, "Running", {"running": {"startedAt": self._world.stamp()}})

    async def ends_pods(self, exit_codes: tuple[int, ...] = _EXIT_CODES) -> None:
        """Trainers come to an end."""
        for pod in self._some(self._pods("Running")):
            self._end(pod, self._draw.choice(exit_codes))

    async def stops_pods(self) -> None:
        """Trainers that were asked to stop do; when nobody has to count them any more their pods are gone."""
        for pod in self._some(self._pods()):
            if not pod["metadata"].get("deletionTimestamp"):
                continue
            if pod["status"]["phase"] in ("Pending", "Running"):
                self._end(pod, self._draw.choice(_EXIT_CODES_OF_STOPPED))
            elif self._is_counted(pod):
                pod["metadata"].pop("finalizers", None)
                self._world.client.seed(PODS, pod)

    async def settles_jobs(self) -> None:
        """The Job controller writes its verdicts; where a pod has failed it first stops the others."""
        for run in self._some(self._open_jobs()):
            failed, live, succeeded = _counts(run, self._pods_of(run))
            if failed and live:
                for pod in self._pods_of(run):
                    await self._delete(pod)
            elif failed:
                self._world.job_ends("Failed", run["metadata"]["name"])
            elif succeeded >= run["spec"]["parallelism"] and not live:
                self._world.job_ends("Complete", run["metadata"]["name"])

    async def evicts_a_pod(self) -> None:
        """A node is drained."""
        for pod in self._one(self._pods("Pending", "Running")):
            status = {**pod["status"], "conditions": [_DISRUPTED]}
            self._world.client.set_status(PODS, pod["metadata"]["name"], status, NAMESPACE)
            await self._delete(pod)

    async def loses_a_pod(self) -> None:
        """Somebody deletes a pod."""
        for pod in self._one(self._pods()):
            await self._delete(pod)

    async def collects_orphans(self) -> None:
        self._world.client.collect_orphans()

    async def lets_all_succeed(self) -> None:
        """One round of everything, with trainers that reach their goal."""
        await self.collects_orphans()
        await self.makes_pods()
        await self.starts_pods()
        await self.ends_pods((0,))
        await self.stops_pods()
        await self.settles_jobs()

    def _end(self, pod: Manifest, exit_code: int) -> None:
        state = pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("running", {})
        ended = {"exitCode": exit_code, "startedAt": state.get("startedAt", self._world.stamp())}
        ended["finishedAt"] = self._world.stamp()
        if exit_code in (0, 71, 75, 85):
            result = run_result(exit_code, step=self._draw.choice((0, 50, 100)))
            if pod["metadata"]["labels"][LABEL_ATTEMPT] == str(PREFLIGHT_ATTEMPT):
                result.pop("output", None)
            ended["message"] = json.dumps(result)
        self._world.set_pod(pod, "Failed" if exit_code else "Succeeded", {"terminated": ended})

    async def _delete(self, pod: Manifest) -> None:
        await self._world.client.delete(PODS, pod["metadata"]["name"], NAMESPACE)

    def _open_jobs(self) -> list[Manifest]:
        jobs = self._world.client.items(JOBS)
        return [job for job in jobs if not (job["metadata"].get("deletionTimestamp") or _is_over(job))]

    def _pods(self, *phases: str) -> list[Manifest]:
        return [pod for pod in self._world.client.items(PODS) if not phases or pod["status"]["phase"] in phases]

    def _pods_of(self, run: Manifest) -> list[Manifest]:
        return [pod for pod in self._pods() if _owner(pod) == run["metadata"]["uid"]]

    def _is_counted(self, pod: Manifest) -> bool:
        """Whether its Job knows how it ended: a finalizer of the Job controller keeps it until then."""
        run = next((job for job in self._open_jobs() if job["metadata"]["uid"] == _owner(pod)), None)
        return run is None or _is_replaced(run, pod)

    def _some(self, items: list[Manifest]) -> list[Manifest]:
        return [item for item in items if self._draw.random() < 0.7]

    def _one(self, items: list[Manifest]) -> list[Manifest]:
        return [self._draw.choice(items)] if items else []


def _counts(run: Manifest, pods: list[Manifest]) -> tuple[int, int, int]:
    """Pods that failed and are not replaced, that live, and that succeeded."""
    phases = [pod["status"]["phase"] for pod in pods]
    failed = sum(pod["status"]["phase"] == "Failed" and not _is_replaced(run, pod) for pod in pods)
    return failed, phases.count("Pending") + phases.count("Running"), phases.count("Succeeded")


def _is_replaced(run: Manifest, pod: Manifest) -> bool:
    """By our podFailurePolicy: a failure of a pod that was taken away counts for nothing, unless there are others."""
    is_failed = pod["status"]["phase"] == "Failed"
    return is_failed and run["spec"]["parallelism"] == 1 and _DISRUPTED in pod["status"].get("conditions", [])


def _owner(pod: Manifest) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["uid"])


def _is_over(run: Manifest) -> bool:
    return bool((run.get("status") or {}).get("conditions"))
