"""AINode's training API."""

from tests.documents.document import Document, Expected
from tests.documents.machine import training_job

BASE_URL = "http://localhost:3000"
MODELS = ("Qwen/Qwen2.5-7B-Instruct",)
DATASETS = {"alpaca.jsonl": "datasets/messages", "path/or/hf-dataset-id": "datasets/messages"}
_JOBS = "/api/training/jobs"


async def submit(document: Document) -> None:
    """While the document's own job trains, others wait behind it."""
    await document.machine.apply(
        training_job("abc123", steps=510, report_every=100, evaluates=False, checkpoint={"everySteps": 500})
    )
    example = document.at("Submit a job", "Response")
    sample = document.at("Submit a job")
    (answer,) = await document.bash(sample, Expected(201, like=example))
    document.made(sample, answer.json["job_id"])


async def config_fields(document: Document) -> None:
    """All fields are a request, and come back as `config`."""
    sample = document.at("Training config fields")
    job = await document.body(sample, f"POST {_JOBS}", Expected(201, like=document.at("Submit a job", "Response")))
    document.like(sample, job["config"], "config of the job")
    document.made(sample, job["job_id"])


async def output(document: Document) -> None:
    """The job of the document has ended."""
    await document.machine.wait("abc123", "Succeeded")
    example = document.at("List output artifacts", 2)
    await document.bash(document.at("List output artifacts"), Expected(like=example))


async def merge(document: Document) -> None:
    """The answer names a job to poll."""
    sample = document.at("Merge LoRA adapter")
    (answer,) = await document.bash(sample, Expected(202))
    job_id = answer.json["merge_job_id"]
    await document.send(sample, f"GET {_JOBS}/{job_id}", Expected())
    document.made(sample, job_id)


async def resume(document: Document) -> None:
    """From the newest checkpoint, and from the one that the document names."""
    sample = document.at("Resume from checkpoint")
    for answer in await document.bash(sample, Expected(201), Expected(201)):
        document.made(sample, answer.json["resume_job_id"])


CHECKS = (submit, config_fields, output, merge, resume)
