"""`fettle apply`, `get`, `describe`, `delete`: resources, as kubectl shows and changes them."""

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fettle_client.protocol import EVENTS, Manifest, NotFoundError, ResourceKind
from fettle_local.commands.session import (
    EXIT_USAGE,
    NamespaceOption,
    complain,
    home_of,
    readable_errors,
    warn_without_engine,
    with_client,
)
from fettle_local.description import describe_manifest
from fettle_local.store import LocalClient
from fettle_local.store.client import DEFAULT_NAMESPACE
from fettle_local.store.kinds import STORED_KINDS
from fettle_local.tables import kind_named, reference, table, without_secrets
from fettle_schema.errors import FieldError, InvalidManifestError
from fettle_schema.manifests import dump_manifest, load_manifests
from fettle_schema.names import FIELD_MANAGER_LOCAL


class Output(StrEnum):
    """How resources are printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]
FileOption = Annotated[
    Path, typer.Option("--filename", "-f", help="Manifests in YAML or JSON; - reads them from stdin.")
]


def apply(
    context: typer.Context,
    filename: FileOption,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create or change resources. An engine (`fettle up`) does what they ask for."""
    manifests = read_manifests(filename)

    async def work(client: LocalClient) -> list[tuple[Manifest, str]]:
        return [await apply_manifest(client, manifest, namespace) for manifest in manifests]

    results = with_client(home_of(context), work)
    if output in (Output.JSON, Output.YAML):
        print_resources([manifest for manifest, _ in results], output, is_list=len(results) != 1)
        return
    for manifest, verb in results:
        kind = STORED_KINDS[manifest["kind"]].kind
        print(f"{reference(kind, manifest['metadata']['name'])} {verb}")
    warn_without_engine(home_of(context))


def get(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="trainingjobs (tj), adapters (adp), jobs, pods, events, …")],
    name: Annotated[str | None, typer.Argument(help="All resources of the kind if absent.")] = None,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    output: OutputOption = Output.TABLE,
    selector: Annotated[str | None, typer.Option("--selector", "-l", help="Label selector.")] = None,
) -> None:
    """Show one resource, or all of a kind."""
    resource_kind = parse_kind(kind)

    async def work(client: LocalClient) -> list[Manifest]:
        if name is not None:
            return [await client.get(resource_kind, name, namespace)]
        return (await client.list(resource_kind, namespace, selector)).items

    manifests = with_client(home_of(context), work)
    if output in (Output.JSON, Output.YAML):
        print_resources(manifests, output, is_list=name is None)
    elif not manifests:
        complain(f"No resources found in namespace {namespace!r}.")
    else:
        print(table(resource_kind, manifests, output is Output.WIDE, datetime.now(UTC)))


def describe(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="trainingjob (tj) or adapter (adp).")],
    name: Annotated[str, typer.Argument(help="Name of the resource.")],
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
) -> None:
    """Show a resource with its conditions, its failure and what happened to it."""
    resource_kind = parse_kind(kind)

    async def work(client: LocalClient) -> tuple[Manifest, list[Manifest]]:
        manifest = await client.get(resource_kind, name, namespace)
        selector = f"involvedObject.uid={manifest['metadata']['uid']}"
        return manifest, (await client.list(EVENTS, namespace, field_selector=selector)).items

    manifest, events = with_client(home_of(context), work)
    print(describe_manifest(without_secrets(manifest), events, datetime.now(UTC)))


def delete(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="trainingjob (tj), adapter (adp), …")],
    names: Annotated[list[str], typer.Argument(help="Names of the resources.")],
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
) -> None:
    """Delete resources. The Adapter of a job stays, and so do its files."""
    resource_kind = parse_kind(kind)

    async def work(client: LocalClient) -> None:
        for name in names:
            await client.get(resource_kind, name, namespace)
            await client.delete(resource_kind, name, namespace)
            print(f"{reference(resource_kind, name)} deleted")

    with_client(home_of(context), work)


def read_manifests(path: Path) -> list[Manifest]:
    """Manifests of a file; ends the command when it cannot be read or holds none."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        complain(f"{path}: {getattr(error, 'strerror', None) or error}")
        raise typer.Exit(EXIT_USAGE) from error
    with readable_errors():
        manifests = load_manifests(text)
        if not manifests:
            raise InvalidManifestError([FieldError("(file)", f"{path} holds no manifest")])
    return manifests


async def apply_manifest(client: LocalClient, manifest: Manifest, namespace: str) -> tuple[Manifest, str]:
    """What is stored after apply, and what that did: created, configured or unchanged."""
    stored = STORED_KINDS.get(manifest["kind"])
    if stored is None:
        known = ", ".join(STORED_KINDS)
        raise InvalidManifestError([FieldError("kind", f"must be one of {known}, is {manifest['kind']!r}")])
    metadata = {"namespace": namespace, **(manifest.get("metadata") or {})}
    before = await _find(client, stored.kind, metadata)
    after = await client.apply(stored.kind, {**manifest, "metadata": metadata}, FIELD_MANAGER_LOCAL)
    if before is None:
        return after, "created"
    is_same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    return after, "unchanged" if is_same else "configured"


def parse_kind(text: str) -> ResourceKind:
    """The kind that the user named; ends the command if there is none."""
    try:
        return kind_named(text)
    except ValueError as error:
        complain(f"Error: {error}")
        raise typer.Exit(EXIT_USAGE) from error


def print_resources(manifests: list[Manifest], output: Output, is_list: bool) -> None:
    """As JSON or YAML; a List unless one was asked for by name."""
    shown = [without_secrets(manifest) for manifest in manifests]
    document = {"apiVersion": "v1", "kind": "List", "items": shown} if is_list else shown[0]
    print(json.dumps(document, indent=2) if output is Output.JSON else dump_manifest(document).rstrip())


async def _find(client: LocalClient, kind: ResourceKind, metadata: Manifest) -> Manifest | None:
    try:
        return await client.get(kind, str(metadata.get("name")), metadata["namespace"])
    except NotFoundError:
        return None
