"""The training-cluster API."""

from tests.documents.document import Document, Expected
from tests.documents.machine import training_job

BASE_URL = "http://localhost:23478"
MODELS = ("Qwen/Qwen2.5-1.5B-Instruct",)
DATASETS = {"v1.0": "datasets/messages"}
_RUNNING = "9212c3b8-78dd-4f04-8361-bc553fc02c71"
_QUEUED = "550e8400-e29b-41d4-a716-446655440000"
_TRACKING = {"wandb": {"project": "documents"}}


async def overview(document: Document) -> None:
    """What needs no job."""
    document.starts_their_server(document.at("Start API service locally"), "uvicorn of their own project")
    await document.bash(document.at("Get API Information"), Expected())


async def start(document: Document) -> None:
    """`reject` comes first: it wants that nothing runs."""
    created = Expected(like=document.at("Training job creation response"))
    for heading in ("Start a training job with reject strategy", "Start a new training job (basic)"):
        sample = document.at(heading)
        (answer,) = await document.bash(sample, created)
        document.made(sample, answer.json["job_id"])
    (answer,) = await document.bash(document.at("Start a training job with all parameters"), created)
    await document.machine.delete(answer.json["job_id"])  # before its end is told to the document's webhook_url


async def look(document: Document) -> None:
    """The document's jobs: one that waits and is cancelled, one that runs."""
    jobs = [training_job(f"j{name}", steps=50, tracking=_TRACKING) for name in (_RUNNING, _QUEUED)]
    await document.machine.apply(*jobs)
    await document.bash(document.at("Get queue status"), Expected())
    await document.bash(document.at("Cancel a queued job"), Expected())
    await document.bash(document.at("Get all training jobs"), Expected())
    await document.machine.wait(f"j{_RUNNING}", "Running", "Succeeded")
    like = Expected(like=document.at("Job status response"))
    await document.bash(document.at("Get status of a specific job"), like)


CHECKS = (overview, start, look)
