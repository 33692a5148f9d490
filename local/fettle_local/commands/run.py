"""`fettle run FILE`: apply a training job, follow it, end with its verdict."""

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fettle_client.protocol import TRAINING_JOBS, Manifest
from fettle_local.commands.resources import apply_manifest, read_manifests
from fettle_local.commands.session import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    NamespaceOption,
    complain,
    home_of,
    with_client,
)
from fettle_local.home import Home
from fettle_local.store import LocalClient
from fettle_local.store.client import DEFAULT_NAMESPACE
from fettle_local.tables import reference
from fettle_schema.progress import duration


def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Manifest of a TrainingJob; - reads it from stdin.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the job instead of the manifest's.")] = None,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
) -> None:
    """Train: apply a TrainingJob, follow it to its end, and say where the adapter is.

    The same command again continues a job that was interrupted.
    """
    home, manifests = home_of(context), read_manifests(file)
    jobs = [manifest for manifest in manifests if manifest["kind"] == "TrainingJob"]
    if len(jobs) != 1:
        complain(f"{file}: `fettle run` wants exactly one TrainingJob, found {len(jobs)}; use `fettle apply` and `up`")
        raise typer.Exit(EXIT_USAGE)
    if name is not None:
        jobs[0]["metadata"] = {**(jobs[0].get("metadata") or {}), "name": name}
    command = f"fettle run {shlex.quote(str(file))}" + (f" --name {name}" if name else "")

    async def work(client: LocalClient) -> int:
        for manifest in manifests:
            if manifest is not jobs[0]:
                await apply_manifest(client, manifest, namespace)
        return await run_job(client, home, jobs[0], namespace, command)

    status = with_client(home, work)
    if status:
        raise typer.Exit(status)


async def run_job(client: LocalClient, home: Home, manifest: Manifest, namespace: str, command: str) -> int:
    """Apply, follow, print the verdict; returns the exit status. `command` is what continues the job."""
    from rich.console import Console

    from fettle_local.job_run import RunInterruptedError, is_finished, run_to_verdict
    from fettle_local.progress_view import ProgressView

    console = Console(soft_wrap=True, highlight=False)
    job, verb = await apply_manifest(client, manifest, namespace)
    metadata = job["metadata"]
    console.print(f"{reference(TRAINING_JOBS, metadata['name'])} {verb}")
    if is_finished(job):
        return print_verdict(home, job)
    if job["spec"]["suspend"] and not manifest["spec"].get("suspend"):
        job = await client.patch(TRAINING_JOBS, metadata["name"], metadata["namespace"], {"spec": {"suspend": False}})
    view = ProgressView(console)
    stopping = "Stopping: the run saves a checkpoint. Ctrl-C again stops without waiting."
    try:
        with _logging_to_file(home), view:
            job = await run_to_verdict(client, home, job, view.show, lambda: console.print(stopping))
    except RunInterruptedError as interrupted:
        if interrupted.stopped_engine:
            console.print(f"Stopped. Continue with: {command}")
        else:
            console.print(f"The job goes on. Follow it with: {command}; stop it with: fettle cancel {metadata['name']}")
        return EXIT_INTERRUPTED
    return print_verdict(home, job)


def print_verdict(home: Home, job: Manifest) -> int:
    """Say how the job ended and what to do next; returns the exit status."""
    status, name = job["status"], job["metadata"]["name"]
    if status["phase"] == "Succeeded":
        seconds = status.get("activeSeconds")
        print(f"Succeeded{f' in {duration(seconds)}' if seconds else ''}.")
        output = status.get("output") or {}
        if output:
            print(f"{output['kind'].capitalize()}: {home.workspace / output['path']}")
        if status.get("adapter"):
            print(f'Try it: fettle ask {status["adapter"]} "…"')
        return 0
    failure = status.get("failure") or {}
    reason = failure.get("code") or status.get("reason") or "no reason was given"
    complain(f"{status['phase']} ({reason}): {failure.get('message') or status.get('message') or ''}")
    if failure.get("hint"):
        complain(f"Hint: {failure['hint']}")
    complain(f"More: fettle logs {name}; fettle describe tj {name}")
    return EXIT_FAILED


@contextmanager
def _logging_to_file(home: Home) -> Iterator[None]:
    """Messages of the engine go to a file: the terminal belongs to the progress bar."""
    handler = logging.FileHandler(home.path / "engine.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
