"""What all commands share: the home, an open store, and errors as people read them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer

from fettle_client.protocol import ApiError, InvalidError
from fettle_local.home import Home
from fettle_local.store import LocalClient
from fettle_schema.errors import FettleError, InvalidManifestError

T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the resource.")]


def home_of(context: typer.Context) -> Home:
    """The home that the command works on."""
    home: Home = context.obj
    return home


def with_client(home: Home, work: Callable[[LocalClient], Awaitable[T]]) -> T:
    """Run `work` with the store of `home` open; errors end the command with a message and a status."""

    async def run() -> T:
        home.create()
        client = LocalClient(home.store)
        try:
            return await work(client)
        finally:
            await client.close()

    try:
        with readable_errors():
            return asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def readable_errors() -> Iterator[None]:
    """Errors of the core become a message and an exit status: 2 for what was asked wrongly, 1 for the rest."""
    try:
        yield
    except InvalidManifestError as error:
        for found in error.errors:
            complain(str(found))
        raise typer.Exit(EXIT_USAGE) from error
    except InvalidError as error:
        causes = error.details.get("causes", [])
        for cause in causes:
            complain(f"{cause['field']}: {cause['message']}")
        if not causes:
            complain(f"Error: {error}")
        raise typer.Exit(EXIT_USAGE) from error
    except ApiError as error:
        complain(f"Error ({error.code}): {error}")
        raise typer.Exit(EXIT_FAILED) from error
    except FettleError as error:
        complain(f"Error: {error}")
        raise typer.Exit(EXIT_FAILED) from error


def complain(message: str) -> None:
    """A line for people, apart from what the command prints."""
    print(message, file=sys.stderr, flush=True)


def warn_without_engine(home: Home) -> None:
    """Say so when nobody will act on what was just written."""
    from fettle_local.engine_lock import has_engine

    if not has_engine(home):
        complain("No engine is running: `fettle up` starts one, and `fettle run FILE` runs one job.")
