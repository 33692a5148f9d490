"""`python -m fettle_client.finalizers [--namespace NAME]… [--unload-within SECONDS]`: lets go of Adapters.

What `helm uninstall` runs last, when no operator is left to do it. A loaded Adapter has a finalizer of ours, which the
operator removes when engines have given the adapter up; without an operator its deletion, and that of its namespace and
of the CRD, would never end. Where the CRDs are to go too it runs first: the operator is asked to unload everything.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable

from fettle_client.kubernetes import connect
from fettle_client.protocol import ADAPTERS, ConflictError, Manifest, NotFoundError, ResourceClient
from fettle_schema.errors import FettleError
from fettle_schema.names import GROUP

_POLL_SECONDS = 0.5


async def remove_finalizers(client: ResourceClient, namespaces: list[str], say: Callable[[str], None] = print) -> None:
    """From all Adapters of these namespaces, or of all; other people's finalizers stay. May be repeated."""
    for adapter in await _adapters(client, namespaces, say):
        await _release(client, adapter, say)


async def unload_all(
    client: ResourceClient, namespaces: list[str], within_seconds: float, say: Callable[[str], None] = print
) -> None:
    """No Adapter is to be loaded any more; returns when the operator has let go of all, or the time is over."""
    deadline = time.monotonic() + within_seconds
    for adapter in await _adapters(client, namespaces, say):
        if ((adapter.get("spec") or {}).get("serving") or {}).get("load"):
            name, namespace = adapter["metadata"]["name"], adapter["metadata"]["namespace"]
            await client.patch(ADAPTERS, name, namespace, {"spec": {"serving": {"load": False}}})
            say(f"Adapter {namespace}/{name}: is to be unloaded")
    while any(map(_ours, await _adapters(client, namespaces, say))):
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _adapters(client: ResourceClient, namespaces: list[str], say: Callable[[str], None]) -> list[Manifest]:
    everywhere: list[str | None] = [None]
    found: list[Manifest] = []
    for namespace in namespaces or everywhere:
        try:
            found += (await client.list(ADAPTERS, namespace)).items
        except NotFoundError:
            say("there are no Adapters any more")
            return []
    return found


def _ours(adapter: Manifest) -> list[str]:
    return [one for one in adapter["metadata"].get("finalizers") or [] if one.startswith(f"{GROUP}/")]


async def _release(client: ResourceClient, adapter: Manifest, say: Callable[[str], None]) -> None:
    name, namespace = adapter["metadata"]["name"], adapter["metadata"]["namespace"]
    while ours := _ours(adapter):
        others = [one for one in adapter["metadata"]["finalizers"] if one not in ours]
        version = adapter["metadata"]["resourceVersion"]
        try:
            await client.patch(ADAPTERS, name, namespace, {"metadata": {"finalizers": others}}, version)
        except ConflictError:
            adapter = await client.get(ADAPTERS, name, namespace)
            continue
        except NotFoundError:
            return
        say(f"Adapter {namespace}/{name}: removed {', '.join(ours)}")
        return


async def _run(namespaces: list[str], unload_within_seconds: float) -> None:
    client = await connect(user_agent="fettle-uninstall")
    try:
        if unload_within_seconds:
            await unload_all(client, namespaces, unload_within_seconds)
        await remove_finalizers(client, namespaces)
    finally:
        await client.close()


def main() -> None:
    """Exit code 0 when nothing of ours holds an Adapter."""
    parser = argparse.ArgumentParser(prog="python -m fettle_client.finalizers", description=__doc__)
    parser.add_argument("--namespace", action="append", default=[], help="may be repeated; default: all namespaces")
    parser.add_argument("--unload-within", type=float, default=0.0, metavar="SECONDS", help="ask the operator first")
    options = parser.parse_args()
    try:
        asyncio.run(_run(options.namespace, options.unload_within))
    except FettleError as error:
        sys.exit(f"{error.code}: {error}")


if __name__ == "__main__":
    main()
