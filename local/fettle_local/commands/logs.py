"""`fettle logs`: what a training job printed, of all its attempts."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from fettle_client.protocol import TRAINING_JOBS, Manifest
from fettle_local.commands.session import NamespaceOption, complain, home_of, with_client
from fettle_local.job_logs import log_file
from fettle_local.store import LocalClient
from fettle_local.store.client import DEFAULT_NAMESPACE
from fettle_schema.vocabulary import Phase

_POLL_SECONDS = 0.3


def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the training job.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only the last lines.")] = None,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
) -> None:
    """Print the log of a training job."""
    home = home_of(context)

    async def work(client: LocalClient) -> None:
        job = await client.get(TRAINING_JOBS, name, namespace)
        path = await log_file(client, home, job)
        offset = _print_from(path, _tail_offset(path, tail)) if path is not None else 0
        if path is None and not follow:
            complain(f"training job {name!r} has printed nothing yet")
        while follow and not _is_finished(job):
            await asyncio.sleep(_POLL_SECONDS)
            job = await client.get(TRAINING_JOBS, name, namespace)
            newer = await log_file(client, home, job)
            offset, path = (0 if newer != path else offset), newer
            offset = _print_from(path, offset) if path is not None else 0

    with_client(home, work)


def _is_finished(job: Manifest) -> bool:
    phase = (job.get("status") or {}).get("phase")
    return phase is not None and Phase(phase).is_finished


def _tail_offset(path: Path | None, count: int | None) -> int:
    if path is None or count is None:
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    return sum(map(len, lines[: max(0, len(lines) - count)]))


def _print_from(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        text = file.read()
    sys.stdout.write(text.decode(errors="replace"))
    sys.stdout.flush()
    return offset + len(text)
