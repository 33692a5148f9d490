"""`KubernetesClient`: the port to an API server, over the official client's asyncio transport.

Raw manifests in and out, without `managedFields`. It holds no rules and no cache.
"""

import builtins
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from fettle_client.connection import Connection, Request, Timeouts, load_configuration
from fettle_client.logs import log_lines
from fettle_client.observation import listed_then_watched
from fettle_client.paths import collection_path, resource_path
from fettle_client.protocol import (
    ConflictError,
    GoneError,
    InvalidError,
    Manifest,
    NotFoundError,
    ResourceKind,
    ResourceList,
    Synced,
    UnavailableError,
    WatchEvent,
)
from fettle_client.retry import RetryPolicy
from fettle_client.watch import initial_events, watch_events

PAGE_SIZE = 500
APPLY_PATCH = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"

_MAX_LIST_STARTS = 5
_MAX_APPLIES = 10
_STRICT = {"fieldValidation": "Strict"}


async def connect(
    kubeconfig: str | None = None,
    context: str | None = None,
    user_agent: str = "fettle",
    retry: RetryPolicy | None = None,
    timeouts: Timeouts | None = None,
) -> "KubernetesClient":
    """A client of the cluster that the kubeconfig, `KUBECONFIG` or the pod's ServiceAccount names; nothing is sent yet.

    `user_agent` is the field manager of everything but applies. Raises NoClusterError.
    """

    async def load() -> Any:
        return await load_configuration(kubeconfig, context)

    connection = Connection(await load(), load, retry or RetryPolicy(), timeouts or Timeouts(), user_agent)
    return KubernetesClient(connection)


class KubernetesClient:
    """A `ResourceClient` over one connection; also reads logs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, kind: ResourceKind, name: str, namespace: str) -> Manifest:
        return await self._send(Request("GET", resource_path(kind, name, namespace)))

    async def list(
        self,
        kind: ResourceKind,
        namespace: str | None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> ResourceList:
        path, query = collection_path(kind, namespace), _selectors(label_selector, field_selector)
        for _ in range(_MAX_LIST_STARTS):
            items: builtins.list[Manifest] = []
            try:
                async with aclosing(self._pages(kind, path, query)) as pages:
                    async for page in pages:
                        items += page.items
            except GoneError:  # the list took so long that its next page is no longer in history
                continue
            return ResourceList(items, page.resource_version)
        message = f"{path} changes faster than {PAGE_SIZE} items a page can be listed; try later"
        raise UnavailableError(503, "Expired", message)

    async def pages(self, kind: ResourceKind, namespace: str | None) -> AsyncGenerator[ResourceList, None]:
        async with aclosing(self._pages(kind, collection_path(kind, namespace), {})) as pages:
            async for page in pages:
                yield page

    async def watch(
        self,
        kind: ResourceKind,
        namespace: str | None,
        resource_version: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        path, query = collection_path(kind, namespace), _selectors(label_selector, field_selector)
        async with aclosing(watch_events(self._connection, path, query, resource_version)) as events:
            async for event in events:
                yield WatchEvent(event.type, _cleaned(event.manifest))

    async def observe(self, kind: ResourceKind, namespace: str | None) -> AsyncGenerator[WatchEvent | Synced, None]:
        try:
            async with aclosing(initial_events(self._connection, collection_path(kind, namespace))) as events:
                async for event in events:
                    if isinstance(event, Synced):
                        version = event.resource_version
                        break
                    yield WatchEvent(event.type, _cleaned(event.manifest))
        except InvalidError:
            async with aclosing(listed_then_watched(self, kind, namespace)) as both:
                async for told in both:
                    yield told
            return
        yield Synced(version)
        async with aclosing(self.watch(kind, namespace, version)) as changes:
            async for change in changes:
                yield change

    async def create(self, kind: ResourceKind, manifest: Manifest, dry_run: bool = False) -> Manifest:
        manifest = _complete(kind, manifest)
        query = {**_STRICT, "dryRun": "All"} if dry_run else _STRICT
        path = collection_path(kind, _namespace_of(manifest))
        return await self._send(Request("POST", path, query, manifest, is_repeatable=dry_run))

    async def replace(self, kind: ResourceKind, manifest: Manifest) -> Manifest:
        manifest = _complete(kind, manifest)
        path = resource_path(kind, manifest["metadata"]["name"], _namespace_of(manifest))
        return await self._send(Request("PUT", path, _STRICT, manifest))

    async def patch(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        patch: Manifest,
        resource_version: str | None = None,
    ) -> Manifest:
        body = {field: value for field, value in patch.items() if field != "status"}
        if resource_version:
            body["metadata"] = {**body.get("metadata", {}), "resourceVersion": resource_version}
        path = resource_path(kind, name, namespace)
        return await self._send(Request("PATCH", path, _STRICT, body, MERGE_PATCH))

    async def apply(self, kind: ResourceKind, manifest: Manifest, field_manager: str, force: bool = True) -> Manifest:
        manifest = _complete(kind, manifest)
        path = resource_path(kind, manifest["metadata"]["name"], _namespace_of(manifest))
        return await self._apply(path, manifest, field_manager, force)

    async def apply_status(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        status: Manifest,
        field_manager: str,
        resource_version: str | None = None,
        uid: str | None = None,
    ) -> Manifest:
        if uid and not resource_version:
            return await self._apply_status_of(kind, name, namespace, status, field_manager, uid)
        metadata = {"name": name, "resourceVersion": resource_version}
        body = {"metadata": {field: value for field, value in metadata.items() if value}, "status": status}
        path = resource_path(kind, name, namespace, "status")
        return await self._apply(path, _complete(kind, body), field_manager, force=True)

    async def delete(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        uid: str | None = None,
        propagation: Literal["Foreground", "Background"] = "Background",
    ) -> None:
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._connection.send(Request("DELETE", resource_path(kind, name, namespace), body=options))
        except NotFoundError:
            return
        except ConflictError:
            if not uid or await self._has_uid(kind, name, namespace, uid):
                raise

    async def read_log(
        self,
        name: str,
        namespace: str,
        container: str | None = None,
        tail_lines: int | None = None,
        follow: bool = False,
        timestamps: bool = False,
    ) -> AsyncGenerator[str, None]:
        """Lines of a pod's container; with `follow`, until it ends.

        Raises NotFoundError, and InvalidError while the container has not started.
        """
        lines = log_lines(self._connection, name, namespace, container, tail_lines, follow, timestamps)
        async with aclosing(lines):
            async for line in lines:
                yield line

    async def close(self) -> None:
        await self._connection.close()

    async def _send(self, request: Request) -> Manifest:
        return _cleaned(await self._connection.send(request))

    async def _apply(self, path: str, body: Manifest, field_manager: str, force: bool) -> Manifest:
        query = {**_STRICT, "fieldManager": field_manager, "force": "true" if force else "false"}
        return await self._send(Request("PATCH", path, query, body, APPLY_PATCH))

    async def _apply_status_of(
        self, kind: ResourceKind, name: str, namespace: str, status: Manifest, field_manager: str, uid: str
    ) -> Manifest:
        """The status subresource ignores a uid, but a version is of one resource: read it, then write with it."""
        for _ in range(_MAX_APPLIES):
            found = (await self.get(kind, name, namespace))["metadata"]
            if found["uid"] != uid:
                message = f"{kind.plural} {name!r} is another one now: uid {found['uid']}, not {uid}"
                raise ConflictError(409, "Conflict", message)
            try:
                version = found["resourceVersion"]
                return await self.apply_status(kind, name, namespace, status, field_manager, version)
            except ConflictError:  # somebody else wrote in between
                continue
        raise ConflictError(409, "Conflict", f"{kind.plural} {name!r} changes faster than its status can be written")

    async def _pages(self, kind: ResourceKind, path: str, query: dict[str, str]) -> AsyncGenerator[ResourceList, None]:
        query = {**query, "limit": str(PAGE_SIZE)}
        while True:
            page = await self._connection.send(Request("GET", path, query))
            metadata = page["metadata"]
            # Items of built-in kinds come without their type.
            items = [_cleaned(_complete(kind, item)) for item in page.get("items") or []]
            yield ResourceList(items, metadata["resourceVersion"])
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def _has_uid(self, kind: ResourceKind, name: str, namespace: str, uid: str) -> bool:
        try:
            found = await self.get(kind, name, namespace)
        except NotFoundError:
            return False
        return bool(found["metadata"]["uid"] == uid)


def _selectors(label_selector: str | None, field_selector: str | None) -> dict[str, str]:
    selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in selectors.items() if value}


def _complete(kind: ResourceKind, manifest: Manifest) -> Manifest:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}


def _namespace_of(manifest: Manifest) -> str:
    return manifest["metadata"].get("namespace") or "default"


def _cleaned(manifest: Manifest) -> Manifest:
    manifest.get("metadata", {}).pop("managedFields", None)
    return manifest
