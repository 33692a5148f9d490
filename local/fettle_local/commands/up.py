"""`fettle up`: the engine, the operator and the facade of one home in one process, on loopback."""

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from fettle_local.commands.session import complain, home_of, with_client
from fettle_local.home import Home
from fettle_local.store import LocalClient

if TYPE_CHECKING:
    from fettle_api.server import Servers
    from fettle_local.serving_engine import LocalEngine

_DEFAULT_PORT = 8080


def up(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port of the REST facade; 0 takes a free one.")] = _DEFAULT_PORT,
    dialect_port: Annotated[
        list[str] | None,
        typer.Option(help="DIALECT=PORT: where a dialect is served by itself, for example ainode=3000."),
    ] = None,
    api: Annotated[bool, typer.Option("--api/--no-api", help="Whether to serve the REST facade.")] = True,
) -> None:
    """Run training jobs as they are applied, and serve the REST facade on 127.0.0.1, until Ctrl-C."""
    home = home_of(context)
    ports = _dialect_ports(dialect_port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with_client(home, lambda client: _serve(client, home, port, ports, api))


async def _serve(client: LocalClient, home: Home, port: int, ports: dict[str, int] | None, has_api: bool) -> None:
    from fettle_local.engine import create_engine
    from fettle_local.engine_lock import engine_lock
    from fettle_local.serving_engine import LocalEngine

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with engine_lock(home):
        serving = LocalEngine(home)
        servers = await _start_facade(client, home, port, ports, serving) if has_api else None
        engine = asyncio.create_task(create_engine(client, home).run(), name="engine")
        stopping = asyncio.create_task(stop.wait())
        complain(f"The engine of {home.path} is running. Ctrl-C stops it; runs save a checkpoint and continue later.")
        await asyncio.wait({engine, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if servers is not None:
            await servers.stop()
        await serving.stop()
        engine.cancel()
        (ended,) = await asyncio.gather(engine, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended
        complain("Stopped.")


async def _start_facade(
    client: LocalClient, home: Home, port: int, ports: dict[str, int] | None, serving: "LocalEngine"
) -> "Servers":
    from fettle_api.app import create_app
    from fettle_api.files.workspace import Workspace
    from fettle_api.gpus import LocalGpus
    from fettle_api.jobs.logs import FirstOf, PodLogs, WorkspaceLogs
    from fettle_api.server import Servers
    from fettle_api.settings import ApiSettings
    from fettle_api.webhooks.signing import ensure_key
    from fettle_local.job_logs import LocalPodLogs
    from fettle_local.runner.gpus import installed_gpus

    settings = ApiSettings(workspace=home.workspace, port=port, default_gpus=min(1, len(installed_gpus())))
    if settings.authentication == "token":
        complain("Error: FETTLE_API_AUTHENTICATION=token asks a cluster who may call; here it is none or apikey")
        raise typer.Exit(2)
    if ports is not None:
        settings = settings.model_copy(update={"dialect_ports": ports})
    if settings.webhook_key_file is None:
        settings = settings.model_copy(update={"webhook_key_file": ensure_key(home.webhook_key)})
    pod_logs = PodLogs(client, LocalPodLogs(client, home), settings.namespace)
    logs = FirstOf(WorkspaceLogs(Workspace(home.workspace)), pod_logs)
    engine = serving if settings.engine_url is None else None
    app = create_app(settings, client, home.workspace, logs, gpus=LocalGpus(), engine=engine)
    servers = Servers(app, settings)
    try:
        await servers.start()
    except OSError as error:
        complain(f"Error: {error.strerror}; choose others with --port and --dialect-port")
        raise typer.Exit(1) from error
    for name, number in servers.ports.items():
        complain(f"{name}: http://{settings.host}:{number}")
    return servers


def _dialect_ports(options: list[str] | None) -> dict[str, int] | None:
    if options is None:
        return None
    ports = {}
    for option in options:
        name, separator, number = option.partition("=")
        if not separator or not number.isdigit():
            raise typer.BadParameter(f"{option!r} is not DIALECT=PORT", param_hint="--dialect-port")
        ports[name] = int(number)
    return ports
