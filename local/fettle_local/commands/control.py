"""`fettle cancel`, `suspend`, `resume`: wishes about a training job, written into its spec."""

from typing import Annotated, Any

import typer

from fettle_client.protocol import TRAINING_JOBS
from fettle_local.commands.session import NamespaceOption, home_of, warn_without_engine, with_client
from fettle_local.store import LocalClient
from fettle_local.store.client import DEFAULT_NAMESPACE
from fettle_local.tables import reference

NameArgument = Annotated[str, typer.Argument(help="Name of the training job.")]


def cancel(context: typer.Context, name: NameArgument, namespace: NamespaceOption = DEFAULT_NAMESPACE) -> None:
    """Stop a training job for good."""
    _change(context, name, namespace, {"cancel": True}, "cancelled")


def suspend(context: typer.Context, name: NameArgument, namespace: NamespaceOption = DEFAULT_NAMESPACE) -> None:
    """Save a checkpoint, stop, and wait for `resume`."""
    _change(context, name, namespace, {"suspend": True}, "suspended")


def resume(context: typer.Context, name: NameArgument, namespace: NamespaceOption = DEFAULT_NAMESPACE) -> None:
    """Continue a suspended training job from its checkpoint."""
    _change(context, name, namespace, {"suspend": False}, "resumed")


def _change(context: typer.Context, name: str, namespace: str, spec: dict[str, Any], verb: str) -> None:
    async def work(client: LocalClient) -> None:
        await client.patch(TRAINING_JOBS, name, namespace, {"spec": spec})
        print(f"{reference(TRAINING_JOBS, name)} {verb}")

    with_client(home_of(context), work)
    warn_without_engine(home_of(context))
