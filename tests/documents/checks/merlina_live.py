"""Merlina's WebSocket: the messages of a job that trains and of one that fails, and the document's own listeners."""

import json
from typing import Any

from tests.documents import calls
from tests.documents.document import Document
from tests.documents.machine import training_job
from tests.documents.samples import Sample

TRAINING = "job_20250116_143022"
FAILING = "job_20250116_120000"
_STEPS = 200
_MISSING = {"source": {"workspace": {"path": "datasets/missing"}}}
_SECTION = "Connect to Job Updates"


async def begin(document: Document) -> None:
    """The job that fails comes first, so that it is over soon."""
    failing = training_job(FAILING.replace("_", "-"), steps=1, dataset=_MISSING)
    await document.machine.apply(failing, training_job(TRAINING.replace("_", "-"), steps=_STEPS))
    for check in (failure, training, listen_in_python, listen_in_javascript):
        document.in_background(check)


async def failure(document: Document) -> None:
    """Of a job whose dataset is not there."""
    document.message(document.at("Error"), await _follow(document, FAILING))


async def training(document: Document) -> None:
    """From the queue to its end."""
    said = await _follow(document, TRAINING)
    no_gpu = {"gpu_memory": "the job trains on the CPU, and null fields are left out (NOTES)"}
    document.message(document.at("Status Update"), said, no_gpu)
    for heading in ("Metrics Update", "Completion", "Heartbeat"):
        document.message(document.at(heading), said)


async def listen_in_python(document: Document) -> None:
    """The document's own listener hears the end."""
    await document.python(
        document.at("WebSocket Monitoring"),
        rf"^Connected to job {TRAINING}$",
        r"^Progress: [\d.]+%, Loss: \d",
        r"^Step \d+: \{",
        r"^Training completed! Model saved to: \S+$",
    )


async def listen_in_javascript(document: Document) -> None:
    """As the one in Python; what it takes as given is `job_id`."""
    prelude = f"const job_id = {json.dumps(TRAINING)};"
    sample = document.at(_SECTION, "Connection")
    await document.node(sample, prelude, "^Received: ", "type: 'completed'", "^WebSocket closed$")


async def finish(document: Document) -> None:
    """The job has ended. Its sockets linger for a minute, in case that a client asks once more."""
    await document.machine.wait(TRAINING.replace("_", "-"), "Succeeded")


async def _follow(document: Document, job_id: str) -> list[dict[str, Any]]:
    """The section's first sample names the path: `WebSocket /ws/{job_id}`."""
    sample: Sample = document.at(_SECTION)
    document.report.use(sample, "followed")
    path = sample.text.strip().removeprefix("WebSocket ").replace("{job_id}", job_id)
    return await calls.follow(f"{document.base_url.replace('http', 'ws', 1)}{path}")
