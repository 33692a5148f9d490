"""The edge of Adapters: reads what one of them depends on, carries out a Plan. All I/O, no rules."""

import logging
from collections.abc import Callable
from datetime import datetime

from fettle_client import protocol
from fettle_client.protocol import ConflictError, ResourceClient
from fettle_operator.adapters.observation import AdapterObservation, is_current
from fettle_operator.builders.metadata import is_owned_by
from fettle_operator.children import create_child, find, typed
from fettle_operator.plan import Key, Manifest, Plan
from fettle_operator.serving.views import ServingView
from fettle_operator.settings import OperatorSettings
from fettle_schema.names import FIELD_MANAGER_OPERATOR, LABEL_ADAPTER_UID, examination_name

_log = logging.getLogger(__name__)


class AdapterCluster:
    """What reconcile sees of one Adapter's world, and what it does to it."""

    def __init__(self, client: ResourceClient, settings: OperatorSettings, clock: Callable[[], datetime]) -> None:
        self._client, self._settings, self._clock = client, settings, clock

    async def observe(self, key: Key, serving: ServingView | None) -> AdapterObservation | None:
        """Everything about one Adapter; None if it does not exist."""
        namespace, name = key
        adapter = await find(self._client, protocol.ADAPTERS, name, namespace)
        if adapter is None:
            return None
        if adapter["metadata"].get("deletionTimestamp"):
            return AdapterObservation(adapter, serving=serving)
        uid = adapter["metadata"]["uid"]
        examination = await find(self._client, protocol.JOBS, examination_name(name, uid), namespace)
        bare = AdapterObservation(adapter)
        source_name = None if is_current(bare.spec, bare.status) else bare.spec.source.training_job
        source_job = await find(self._client, protocol.TRAINING_JOBS, source_name, namespace)
        if source_job is not None:  # one that has ended wrote the Adapter before: what was read first may be older
            await self._require_unchanged(adapter)
        return AdapterObservation(
            adapter=adapter,
            examination=examination,
            pods=await self._pods(uid, namespace) if examination is not None else (),
            source_job=source_job,
            has_claim=examination is not None or await self._has_claim(namespace),
            serving=serving,
        )

    async def apply(self, observation: AdapterObservation, plan: Plan) -> Manifest | None:
        """Carry out a plan, status last; the Adapter as it then is, if its status was written.

        Raises ConflictError if the world has moved on (look again), RefusedError if a Job is not taken.
        """
        metadata = observation.adapter["metadata"]
        namespace, uid = metadata["namespace"], metadata["uid"]
        for deletion in plan.delete:
            await self._client.delete(protocol.JOBS, deletion.name, namespace, deletion.uid, deletion.propagation)
        for manifest in plan.create:
            await create_child(self._client, protocol.JOBS, manifest, lambda found: is_owned_by(found, uid))
        for manifest in plan.replace:
            await self._client.replace(protocol.ADAPTERS, manifest)
        if plan.status is None:
            return None
        return await self._client.apply_status(
            protocol.ADAPTERS,
            metadata["name"],
            namespace,
            plan.status,
            FIELD_MANAGER_OPERATOR,
            resource_version=metadata["resourceVersion"],
            uid=uid,
        )

    async def _require_unchanged(self, adapter: Manifest) -> None:
        """Raises ConflictError."""
        metadata = adapter["metadata"]
        now = await find(self._client, protocol.ADAPTERS, metadata["name"], metadata["namespace"])
        if now is None or now["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise ConflictError(409, "Conflict", f"adapter {metadata['name']!r} has changed while it was looked at")

    async def _pods(self, uid: str, namespace: str) -> tuple[Manifest, ...]:
        listed = await self._client.list(protocol.PODS, namespace, label_selector=f"{LABEL_ADAPTER_UID}={uid}")
        return tuple(typed(listed.items, protocol.PODS))

    async def _has_claim(self, namespace: str) -> bool:
        settings = self._settings
        if not settings.requires_workspace_claim:
            return True
        return await find(self._client, protocol.CLAIMS, settings.workspace_claim, namespace) is not None
