"""LocalAIServer's QLoRA and adapter API."""

import json
from typing import Any

from fettle_schema.names import ANNOTATION_DIALECT, ANNOTATION_REQUEST, slug
from tests.documents.document import Document, Expected
from tests.documents.machine import training_job

BASE_URL = "http://localhost:5001"
MODELS = ("codellama-7b-instruct",)
DATASETS: dict[str, str] = {}
_ADAPTER = "coding_assistant_v1"
_TRAINED = {"model_name": MODELS[0], "adapter_name": _ADAPTER}
_SCENARIOS = "Common Error Scenarios"


async def prepare(document: Document) -> None:
    """The base URL of all endpoints, and the job that makes the document's adapter."""
    sample = document.at("Base URL")
    document.report.use(sample, "base of all endpoints")
    document.base_url = sample.text.strip()
    annotations = {ANNOTATION_DIALECT: "qlora", ANNOTATION_REQUEST: json.dumps(_TRAINED)}
    output = {"adapterName": slug(_ADAPTER)}
    await document.machine.apply(training_job("uuid-1", steps=20, annotations=annotations, output=output))


async def errors(document: Document) -> None:
    """Each is provoked; of a failure of the server only the shape can be."""
    texts = {"train_texts": ["text"]}
    start, model = "POST /training/start", MODELS[0]
    exactly: list[tuple[str, str, dict[str, Any] | None, int]] = [
        ("1. Invalid Model Name", start, {"model_name": "model_name", **texts}, 400),
        ("2. Missing Required Fields", start, texts, 400),
        ("3. Invalid Data Format", start, {"model_name": model, "train_texts": "text"}, 400),
        ("4. Resource Not Found", "GET /training/status/job_id", None, 404),
    ]
    for label, request, body, status in exactly:
        example = document.at(_SCENARIOS, label)
        await document.send(example, request, Expected(status, like=example, exactly=True), body)
    await document.send(document.at("Error Handling"), start, Expected(400, like=document.at("Error Handling")), {})
    example = document.at(_SCENARIOS, "5. Server Errors")
    await document.send(example, start, Expected(400, like=example), {})
    document.report.remark(example, "no request brings it about: the shape of another error is compared")


async def upload(document: Document) -> None:
    """Texts."""
    heading = "5. Upload Training Data"
    await document.request(*document.pair(heading), document.at(heading, "Request Body"))


async def finished(document: Document) -> None:
    """What is listed once a job has ended; the adapter is loaded before it is shown as loaded."""
    await document.machine.wait("uuid-1", "Succeeded")
    await document.request(*document.pair("3. List Training Jobs"))
    adapter = {"<adapter_name>": _ADAPTER}
    await document.request(*document.pair("3. Load Adapter"), replaced=adapter)
    listed = await document.request(*document.pair("1. List Adapters"))
    if not listed["adapters"][0]["is_loaded"]:
        document.report.differ(document.at("3. Load Adapter"), "the adapter is not loaded afterwards")
    await document.request(*document.pair("2. Get Adapter Info"), replaced=adapter)
    await document.request(*document.pair("4. Unload Adapter"))


async def running(document: Document) -> None:
    """The document's job, until it is stopped."""
    await document.machine.apply(training_job("uuid-string", steps=100_000))
    await document.machine.wait("uuid-string", "Running", with_loss=True)
    job = {"<job_id>": "uuid-string"}
    await document.request(*document.pair("2. Get Training Status"), replaced=job)
    await document.request(*document.pair("4. Stop Training Job"), replaced=job)


async def start(document: Document) -> None:
    """By the endpoint, and with all that the reference lists."""
    heading = "1. Start Training Job"
    sample, expected = document.pair(heading)
    answer = await document.request(sample, expected, document.at(heading, "Request Body"))
    document.made(sample, answer["job_id"])
    references = {"lora_config": "LoRA Configuration", "training_config": "Training Configuration"}
    parts = {
        name: document.part(document.at(title), f"POST /training/start, {name}") for name, title in references.items()
    }
    body = {"model_name": MODELS[0], "train_texts": ["### Instruction:\nCount\n\n### Response:\n1 2 3"], **parts}
    answer = await document.request(sample, expected, body)
    document.made(sample, answer["job_id"])
    status = await document.send(sample, f"GET /training/status/{answer['job_id']}", Expected())
    for name, title in references.items():
        document.like(document.at(title), status[name], f"{name} of the job")


async def curl(document: Document) -> None:
    """The whole workflow, for the job and the adapter that are there."""
    sample = document.at("Example 1: Complete Training Workflow")
    headings = ("5. Upload Training Data", "1. Start Training Job", "2. Get Training Status")
    expected = [Expected(like=document.at(heading, "Response")) for heading in headings]
    not_yet = {"current_adapter": "the workflow lists adapters before it loads one"}
    expected.append(Expected(like=document.at("1. List Adapters", "Response"), reasons=not_yet))
    expected.append(Expected(like=document.at("3. Load Adapter", "Response")))
    replaced = {"JOB_ID": "uuid-1", "ADAPTER_NAME": _ADAPTER}
    answers = await document.bash(sample, *expected, replaced=replaced)
    document.made(sample, answers[1].json["job_id"])


async def python(document: Document) -> None:
    """Starts a job and asks once."""
    await document.python(document.at("Example 2: Python Usage"), r"^Training progress: [\d.]+%$")


async def delete(document: Document) -> None:
    """At last, when nobody needs the adapter."""
    await document.finish_jobs()
    await document.request(*document.pair("5. Delete Adapter"), replaced={"<adapter_name>": _ADAPTER})


CHECKS = (prepare, errors, upload, finished, running, start, curl, python, delete)
