"""`python -m fettle_client.finalizers [--namespace NAME]…`: lets go of Adapters when no operator is left to do it.

What `helm uninstall` runs last. A loaded Adapter has a finalizer of ours, which the operator removes when engines have
given the adapter up; without an operator its deletion, and that of its namespace and of the CRD, would never end.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable

from fettle_client.kubernetes import connect
from fettle_client.protocol import ADAPTERS, ConflictError, Manifest, NotFoundError, ResourceClient
from fettle_schema.errors import FettleError
from fettle_schema.names import GROUP


async def remove_finalizers(client: ResourceClient, namespaces: list[str], say: Callable[[str], None] = print) -> None:
    """From all Adapters of these namespaces, or of all; other people's finalizers stay. May be repeated."""
    everywhere: list[str | None] = [None]
    for namespace in namespaces or everywhere:
        try:
            adapters = (await client.list(ADAPTERS, namespace)).items
        except NotFoundError:
            say("there are no Adapters any more")
            return
        for adapter in adapters:
            await _release(client, adapter, say)


async def _release(client: ResourceClient, adapter: Manifest, say: Callable[[str], None]) -> None:
    name, namespace = adapter["metadata"]["name"], adapter["metadata"]["namespace"]
    while ours := [one for one in adapter["metadata"].get("finalizers") or [] if one.startswith(f"{GROUP}/")]:
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


async def _run(namespaces: list[str]) -> None:
    client = await connect(user_agent="fettle-uninstall")
    try:
        await remove_finalizers(client, namespaces)
    finally:
        await client.close()


def main() -> None:
    """Exit code 0 when nothing of ours holds an Adapter."""
    parser = argparse.ArgumentParser(prog="python -m fettle_client.finalizers", description=__doc__)
    parser.add_argument("--namespace", action="append", default=[], help="may be repeated; default: all namespaces")
    try:
        asyncio.run(_run(parser.parse_args().namespace))
    except FettleError as error:
        sys.exit(f"{error.code}: {error}")


if __name__ == "__main__":
    main()
