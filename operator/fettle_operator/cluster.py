"""The edge of the operator: reads what one job depends on, carries out a Plan. All I/O, no rules."""

from collections.abc import Callable
from datetime import datetime

from fettle_client import protocol
from fettle_client.protocol import InvalidError, NotFoundError, ResourceClient, ResourceKind
from fettle_operator import preflight
from fettle_operator.builders.metadata import is_owned_by
from fettle_operator.builders.run_config import adapter_name
from fettle_operator.children import create, create_child, find, typed
from fettle_operator.kueue import LABEL_JOB_UID as LABEL_KUEUE_JOB_UID
from fettle_operator.observation import Observation
from fettle_operator.plan import Key, Manifest, Plan, key_of
from fettle_operator.settings import OperatorSettings
from fettle_schema.names import FIELD_MANAGER_OPERATOR, LABEL_JOB_UID, PREFLIGHT_ATTEMPT, attempt_name, service_name

_KINDS: dict[str, ResourceKind] = {
    kind.kind: kind
    for kind in (
        protocol.TRAINING_JOBS,
        protocol.ADAPTERS,
        protocol.JOBS,
        protocol.CONFIG_MAPS,
        protocol.SERVICES,
    )
}
_CHILDREN = frozenset({"Job", "ConfigMap", "Service"})

_WORKLOADS = tuple(
    ResourceKind(f"kueue.x-k8s.io/{version}", "Workload", "workloads") for version in ("v1beta2", "v1beta1")
)
"""As newer and as older versions of Kueue serve them."""


class Cluster:
    """What reconcile sees of the world, and what it does to it."""

    def __init__(
        self,
        client: ResourceClient,
        settings: OperatorSettings,
        clock: Callable[[], datetime],
        is_adapter_known: Callable[[Key], bool],
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._is_adapter_known = is_adapter_known
        self._claims_seen_at: dict[str, datetime] = {}
        self._begun: dict[Key, str] = {}
        """Uids of jobs whose first Job was created here, or may have been; their status does not say so yet."""

    def has_begun(self, job: Manifest) -> bool:
        """Whether its first Job was created here, or may have been, though its status does not say so yet."""
        return self._begun.get(key_of(job)) == str(job["metadata"]["uid"])

    def forget(self, key: Key) -> None:
        """The job does not exist any more."""
        self._begun.pop(key, None)

    async def find_job(self, key: Key) -> Manifest | None:
        """The job as it is now; None if it does not exist."""
        namespace, name = key
        return await self._find(protocol.TRAINING_JOBS, name, namespace)

    async def observe(self, bare: Observation) -> Observation:
        """What the next step of a job depends on. Blind where a first attempt is only to be created: that it was, by an
        operator that died, shows in its names being taken."""
        namespace = bare.job["metadata"]["namespace"]
        if not bare.job.get("status") and not bare.is_asked_to_stop:
            # Nothing was made for it, or the same is made again and found to be there.
            return await self._with_surroundings(bare, namespace)
        if bare.is_about_to_begin and not self.has_begun(bare.job):
            return await self._with_surroundings(bare.but(is_blind=True), namespace)
        return await self.observe_all(bare)

    async def observe_all(self, bare: Observation) -> Observation:
        """The same with all runs, pods and children."""
        namespace = bare.job["metadata"]["namespace"]
        selector = f"{LABEL_JOB_UID}={bare.uid}"
        # Jobs first: pods that are older than the end of their Job would not show how it ended.
        runs = await self._client.list(protocol.JOBS, namespace, label_selector=selector)
        pods = await self._client.list(protocol.PODS, namespace, label_selector=selector)
        whole = bare.but(
            runs=tuple(typed(runs.items, protocol.JOBS)), pods=tuple(typed(pods.items, protocol.PODS)), is_blind=False
        )
        children, foreign = await self._names_in_use(whole, namespace)
        return await self._with_surroundings(whole.but(children=children, foreign=foreign), namespace)

    async def apply(self, observation: Observation, plan: Plan) -> Manifest | None:
        """Carry out a plan, status last. Returns the job as it then is, if its status was written.

        Raises ConflictError if the world has moved on (look again), NameTakenError if a child's name is not free,
        RefusedError if a child is not taken.
        """
        metadata = observation.job["metadata"]
        namespace = metadata["namespace"]
        for deletion in plan.delete:
            kind = _KINDS[deletion.kind]
            await self._client.delete(kind, deletion.name, namespace, deletion.uid, deletion.propagation)
        if observation.is_blind and plan.create:
            self._begun[key_of(observation.job)] = metadata["uid"]
        for manifest in plan.create:
            await self._create(manifest, metadata["uid"])
        for manifest in plan.replace:
            await self._client.replace(_KINDS[manifest["kind"]], manifest)
        if plan.adapter_status is not None:
            told = plan.adapter_status
            await self._client.apply_status(
                protocol.ADAPTERS,
                told.name,
                namespace,
                told.status,
                FIELD_MANAGER_OPERATOR,
                resource_version=told.resource_version,
                uid=told.uid,
            )
        if plan.status is None:
            return None
        if not observation.is_blind:
            self.forget(key_of(observation.job))
        return await self._client.apply_status(
            protocol.TRAINING_JOBS,
            metadata["name"],
            namespace,
            plan.status,
            FIELD_MANAGER_OPERATOR,
            resource_version=metadata["resourceVersion"],
            uid=metadata["uid"],
        )

    async def _with_surroundings(self, bare: Observation, namespace: str) -> Observation:
        """The same with what the next step may depend on, read only where it does."""
        if bare.is_finished or not bare.has_readable_spec:
            return bare
        if bare.is_under_way:
            return bare.but(workload=await self._workload(bare, namespace))
        start = bare.job["spec"].get("startFrom") or {}
        return bare.but(
            adapter=await self._adapter(bare, namespace),
            has_claim=await self._has_claim(namespace),
            source_job=await self._find(protocol.TRAINING_JOBS, start.get("trainingJob"), namespace),
            source_adapter=await self._find(protocol.ADAPTERS, start.get("adapter"), namespace),
            workload=await self._workload(bare, namespace),
        )

    async def _adapter(self, bare: Observation, namespace: str) -> Manifest | None:
        """Before a job is admitted one that was heard of may hold its name; of an attempt that ends it may be left."""
        name = adapter_name(bare.job, bare.spec)
        is_held = name is not None and not bare.is_admitted and self._is_adapter_known((namespace, name))
        return await self._find(protocol.ADAPTERS, name, namespace) if is_held or bare.is_ending else None

    async def _workload(self, bare: Observation, namespace: str) -> Manifest | None:
        """Only asked for while Kueue holds the newest Job back; None where there is no Kueue."""
        run = bare.newest_run
        if run is None or bare.spec.scheduling.kueue_queue is None or not run["spec"].get("suspend"):
            return None
        selector = f"{LABEL_KUEUE_JOB_UID}={run['metadata']['uid']}"
        for kind in _WORKLOADS:
            try:
                listed = await self._client.list(kind, namespace, label_selector=selector)
            except (NotFoundError, InvalidError):  # no Kueue of this version; the store of one machine has no such kind
                continue
            return next(iter(listed.items), None)
        return None

    async def _has_claim(self, namespace: str) -> bool:
        """Found once, a claim is not looked for again at once: many jobs of a namespace ask in the same moment."""
        if not self._settings.requires_workspace_claim:
            return True
        seen = self._claims_seen_at.get(namespace)
        if seen is not None and (self._clock() - seen).total_seconds() < self._settings.source_check_seconds:
            return True
        if await self._find(protocol.CLAIMS, self._settings.workspace_claim, namespace) is None:
            return False
        self._claims_seen_at[namespace] = self._clock()
        return True

    async def _names_in_use(
        self, bare: Observation, namespace: str
    ) -> tuple[frozenset[tuple[str, str]], tuple[Manifest, ...]]:
        """Which children of the newest attempt exist, ours and not ours; only asked before its Job exists."""
        if bare.is_finished or not bare.has_readable_spec:
            return frozenset(), ()
        attempt = bare.status.attempts.current if bare.status.attempts else PREFLIGHT_ATTEMPT
        is_made = attempt > PREFLIGHT_ATTEMPT or preflight.is_wanted(bare.spec)
        if not is_made or bare.run(attempt) is not None:
            return frozenset(), ()
        child_name = attempt_name(bare.name, attempt)
        wanted = [(protocol.JOBS, child_name), (protocol.CONFIG_MAPS, child_name)]
        if bare.spec.resources.nodes > 1:
            wanted.append((protocol.SERVICES, service_name(bare.uid, attempt)))
        ours: set[tuple[str, str]] = set()
        foreign: list[Manifest] = []
        for kind, name in wanted:
            manifest = await self._find(kind, name, namespace)
            if manifest is not None and is_owned_by(manifest, bare.uid):
                ours.add((kind.kind, name))
            elif manifest is not None:
                foreign.append(manifest)
        return frozenset(ours), tuple(foreign)

    async def _find(self, kind: ResourceKind, name: str | None, namespace: str) -> Manifest | None:
        return await find(self._client, kind, name, namespace)

    async def _create(self, manifest: Manifest, uid: str) -> None:
        kind = _KINDS[manifest["kind"]]
        made = create_child if kind.kind in _CHILDREN else create
        await made(self._client, kind, manifest, lambda existing: _is_ours(existing, uid))


def _is_ours(manifest: Manifest, uid: str) -> bool:
    """A child by its owner; an Adapter, which has none, by its source."""
    source = (manifest.get("spec") or {}).get("source") if manifest["kind"] == "Adapter" else None
    return is_owned_by(manifest, uid) or (source or {}).get("trainingJobUid") == uid
