"""The `fettle` command: its table of contents. Commands are in `commands/`, one module for each noun."""

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from fettle_local.commands import ask, control, datasets, demo, estimate, logs, models, resources, run, up
from fettle_local.home import HOME_VARIABLE, Home

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fine-tune language models: a TrainingJob goes in, an Adapter comes out.",
)
app.command()(run.run)
app.command()(estimate.estimate)
app.command()(up.up)
app.command()(resources.apply)
app.command()(resources.get)
app.command()(resources.describe)
app.command()(logs.logs)
app.command()(control.cancel)
app.command()(control.suspend)
app.command()(control.resume)
app.command()(resources.delete)
app.command()(ask.ask)
app.command()(demo.demo)
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")


@app.callback()
def choose_home(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            envvar=HOME_VARIABLE, help="Where store and workspace are; ~/.fettle if absent.", show_default=False
        ),
    ] = None,
) -> None:
    """Every command works on one home."""
    found = Home.from_environment()
    context.obj = Home(home.expanduser().absolute(), found.cache) if home else found


@app.command()
def version() -> None:
    """Print the version."""
    print(f"fettle {installed_version('fettle-tuning')}")


def main() -> None:
    """Entry point of the `fettle` script."""
    app()
