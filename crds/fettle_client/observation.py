"""What is there and what happens to it, for clients whose server tells the two separately."""

from collections.abc import AsyncGenerator

from fettle_client.protocol import ResourceClient, ResourceKind, Synced, WatchEvent


async def listed_then_watched(
    client: ResourceClient, kind: ResourceKind, namespace: str | None
) -> AsyncGenerator[WatchEvent | Synced, None]:
    """`ResourceClient.observe` by a list and a watch; all of the list is in memory at once."""
    listed = await client.list(kind, namespace)
    for manifest in listed.items:
        yield WatchEvent("ADDED", manifest)
    yield Synced(listed.resource_version)
    async for event in client.watch(kind, namespace, listed.resource_version):
        yield event
