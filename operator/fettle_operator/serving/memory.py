"""What is remembered of engine pods between two rounds, and what Adapters get to see of it. No I/O.

It is only a memory: after a restart of the operator the first round fills it again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from fettle_operator.plan import Key
from fettle_operator.serving.candidates import Candidate, Wish
from fettle_operator.serving.decisions import Listing, own_path
from fettle_operator.serving.pods import EnginePod
from fettle_operator.serving.views import InstanceView, Problem, ServingView

PodKey = tuple[str, int]


@dataclass
class PodMemory:
    """One engine pod."""

    pod: EnginePod
    listing: Listing | None = None
    """What it told last; None since it started."""
    is_known: bool = False
    """Whether that was its last answer."""
    silence: Problem | None = None
    """Why it does not answer."""
    problems: dict[str, Problem] = field(default_factory=dict)
    """What went wrong with an Adapter, by its uid."""
    visit: "asyncio.Task[None] | None" = None
    """Calls that are under way."""

    def see(self, pod: EnginePod) -> None:
        """The pod as its manifest has it now; a container that was restarted has forgotten everything."""
        if pod.incarnation != self.pod.incarnation:
            self.listing, self.is_known, self.silence, self.problems = None, False, None, {}
        self.pod = pod

    @property
    def is_visited(self) -> bool:
        """Whether calls are under way."""
        return self.visit is not None and not self.visit.done()


@dataclass
class NamespaceMemory:
    """The engines of one namespace."""

    pods: dict[PodKey, PodMemory] = field(default_factory=dict)
    views: dict[Key, ServingView] = field(default_factory=dict)

    def see(self, pods: Sequence[EnginePod]) -> None:
        """These are there; all others are forgotten."""
        known = {pod.key for pod in pods}
        for key in [key for key in self.pods if key not in known]:
            visit = self.pods.pop(key).visit
            if visit is not None:
                visit.cancel()
        for pod in pods:
            self.pods.setdefault(pod.key, PodMemory(pod)).see(pod)

    def view(self, candidate: Candidate, pods: Sequence[EnginePod]) -> ServingView:
        """What one Adapter gets to see of these pods."""
        instances = tuple(self._instance(candidate, self.pods[pod.key]) for pod in pods)
        return ServingView(instances, is_unwanted=candidate.wish is Wish.UNLOAD)

    def _instance(self, candidate: Candidate, memory: PodMemory) -> InstanceView:
        pod, before = memory.pod, candidate.seen.get(memory.pod.uid)
        path = before if memory.listing is None else own_path(memory.listing, candidate)
        # What has never answered and never was seen with it has nothing: only pods that answer are given anything.
        is_known = (memory.is_known and not memory.is_visited) or (not pod.is_ready and path is None)
        problem = memory.silence or memory.problems.get(candidate.uid)
        if not pod.is_ready:
            return InstanceView(pod.name, pod.uid, False, is_known, path)
        return InstanceView(pod.name, pod.uid, True, is_known, path, problem, pod.url)
