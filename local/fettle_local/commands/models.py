"""`fettle models`: base models in the workspace."""

from typing import Annotated

import typer

from fettle_local.commands.session import complain, home_of, readable_errors

app = typer.Typer(no_args_is_help=True, help="Base models in the workspace.")


@app.command()
def fetch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="For example smollm2-135m.")],
) -> None:
    """Download a model into the workspace; nothing to do if it is there."""
    from fettle_local.models import fetch_model

    home = home_of(context)
    home.create()
    with readable_errors():
        path = fetch_model(home, name, complain)
    print(f"{name}: baseModel: {{path: {path.relative_to(home.workspace)}}}")


@app.command(name="list")
def list_(context: typer.Context) -> None:
    """Models that can be fetched."""
    from fettle_local.models import list_models

    for model, is_there in list_models(home_of(context)):
        print(f"{model.name:<16} {'in the workspace' if is_there else 'not fetched':<18} {model.description}")
