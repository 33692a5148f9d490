"""`fettle demo`: the example of the README, from nothing to answers."""

from pathlib import Path
from typing import Annotated

import typer

from fettle_local.commands.session import home_of, with_client


def demo(
    context: typer.Context,
    examples: Annotated[Path, typer.Option(help="Directory of the examples.")] = Path("examples"),
) -> None:
    """Fetch a small model, train it on kubectl commands, and compare its answers before and after."""
    from fettle_local.demo import run_demo

    home = home_of(context)
    status = with_client(home, lambda client: run_demo(client, home, examples, print))
    if status:
        raise typer.Exit(status)
