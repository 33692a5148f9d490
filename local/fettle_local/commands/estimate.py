"""`fettle estimate FILE`: memory, time and cost of a training job, before anything is claimed."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fettle_client.protocol import Manifest
from fettle_local.commands.resources import read_manifests
from fettle_local.commands.session import EXIT_USAGE, complain, home_of, readable_errors
from fettle_schema.estimate.gpus import GPUS, gpu_named
from fettle_schema.estimate.job_estimate import KnownFacts, estimate_job
from fettle_schema.training_job import TrainingJobSpec


def estimate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Manifest of TrainingJobs; - reads it from stdin.")],
    gpu: Annotated[str | None, typer.Option("--gpu", help=f"Adds time and advice: {', '.join(GPUS)}.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="The model's config.json.")] = None,
    examples: Annotated[int | None, typer.Option("--examples", min=1, help="Examples of the dataset.")] = None,
    mean_length: Annotated[
        float | None, typer.Option("--mean-length", min=1, help="Tokens of an example on average.")
    ] = None,
    price: Annotated[float | None, typer.Option("--price", min=0, help="Price of an hour of one GPU.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how much memory a TrainingJob needs, how long it takes, and on which GPU it fits.

    Computed from the model's config.json: in the workspace, by --config, or bundled for some public models.
    """
    from fettle_local.estimates import estimate_text, job_facts, model_config

    jobs = [manifest for manifest in read_manifests(file) if manifest["kind"] == "TrainingJob"]
    if not jobs:
        complain(f"{file}: holds no TrainingJob")
        raise typer.Exit(EXIT_USAGE)
    workspace = home_of(context).workspace
    documents, texts = [], []
    with readable_errors():
        wanted = gpu_named(gpu) if gpu else None
        prices = {wanted.name: price} if wanted is not None and price is not None else None
        for job in jobs:
            spec, name = _spec(job), (job.get("metadata") or {}).get("name", "")
            counted = job_facts(spec, workspace, examples)
            facts = KnownFacts(examples=counted, mean_length=mean_length, prices=prices)
            found, source = model_config(spec.base_model, workspace, config)
            made = estimate_job(spec, found, gpu=wanted, model=spec.base_model.id or "", known=facts)
            documents.append({"job": name, "configuration": source, **made.manifest()})
            texts.append(estimate_text(name, source, spec, made))
    print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2) if as_json else "\n\n".join(texts))


def _spec(job: Manifest) -> TrainingJobSpec:
    """The spec, with defaults and rules as the store applies them."""
    from fettle_schema.validation import admit

    return TrainingJobSpec.model_validate(admit(job)["spec"])
