"""`fettle ask ADAPTER "…"`: what the base model answers, and what it answers with the adapter."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from fettle_client.protocol import ADAPTERS
from fettle_local.commands.resources import Output, OutputOption
from fettle_local.commands.session import NamespaceOption, home_of, readable_errors, with_client
from fettle_local.store.client import DEFAULT_NAMESPACE
from fettle_schema.manifests import dump_manifest


def ask(
    context: typer.Context,
    adapter: Annotated[str, typer.Argument(help="Name of an Adapter.")],
    prompt: Annotated[str, typer.Argument(help="What to ask.")],
    system: Annotated[str | None, typer.Option(help="System message; the model's own if none is given.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=8192, help="Longest answer, in tokens.")] = 96,
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask an adapter, and its base model for comparison."""
    from fettle_local.answers import answers

    home = home_of(context)
    manifest = with_client(home, lambda client: client.get(ADAPTERS, adapter, namespace))
    with readable_errors():
        (answer,) = answers(home, manifest, [prompt], max_new_tokens, system)
    if output in (Output.JSON, Output.YAML):
        found = asdict(answer)
        print(json.dumps(found, ensure_ascii=False) if output is Output.JSON else dump_manifest(found).rstrip())
        return
    print(f"base:    {answer.base}")
    print(f"adapter: {answer.adapter}")
