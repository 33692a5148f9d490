"""`fettle datasets`: datasets in the workspace."""

from pathlib import Path
from typing import Annotated

import typer

from fettle_local.commands.session import home_of, readable_errors
from fettle_local.datasets import add_dataset, list_datasets

app = typer.Typer(no_args_is_help=True, help="Datasets in the workspace.")


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A job names it as source: {workspace: {path: datasets/NAME}}.")],
    source: Annotated[Path, typer.Argument(help="File or directory to copy.")],
) -> None:
    """Copy a dataset into the workspace as its newest version."""
    home = home_of(context)
    home.create()
    with readable_errors():
        dataset = add_dataset(home.workspace, name, source)
    verb = "added" if dataset.is_new else "unchanged"
    print(f"{dataset.path.relative_to(home.workspace)} {verb}")


@app.command(name="list")
def list_(context: typer.Context) -> None:
    """Datasets and their versions."""
    for dataset in list_datasets(home_of(context).workspace):
        print(f"{dataset.name:<24} {dataset.version}")
