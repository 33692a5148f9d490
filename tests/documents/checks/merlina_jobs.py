"""Merlina's jobs: validated, submitted, waiting, running, ended, stopped, deleted."""

from tests.documents.checks.merlina_live import TRAINING
from tests.documents.document import Document, Expected
from tests.documents.machine import training_job

_STOPPED = "job_20250116_150000"
_TRAIN = "Create Training Job"
_ID = "{job_id}"


async def validate(document: Document) -> None:
    """The document's configuration, and the one with all fields, can be trained with."""
    heading = "Validate Training Configuration"
    sample, expected = document.pair(heading)
    whole = document.at("TrainingConfig")
    for answer in (
        await document.request(sample, expected, document.at(heading, "Request Body")),
        await document.body(whole, "POST /validate", expected),
    ):
        if not answer["valid"]:
            document.report.differ(sample, f"not valid: {answer['results']['errors']}")


async def submit(document: Document) -> None:
    """One that is taken back later, and one that trains; behind the job that runs."""
    await document.machine.wait(TRAINING.replace("_", "-"), "Running")
    config = document.at("Validate Training Configuration", "Request Body")
    line, expected = document.pair(_TRAIN)
    taken_back = await document.request(line, expected, config)
    document.notes["waiting"] = taken_back["job_id"]
    (document.machine.scratch / "training_config.json").write_text(config.text)
    curl = document.at(_TRAIN, "Example with cURL")
    (answer,) = await document.bash(curl, expected)
    document.made(curl, answer.json["job_id"])


async def queue(document: Document) -> None:
    """One job runs, and two wait."""
    await document.request(*document.pair("Get Queue Status"))
    await document.request(*document.pair("List Queue Jobs"))


async def running(document: Document) -> None:
    """The document's job, in training."""
    await document.machine.wait(TRAINING.replace("_", "-"), "Running", with_loss=True)
    like = Expected(
        like=document.at("Get Job Status", "Response"), reasons={"wandb_url": "the job is not tracked by W&B"}
    )
    await document.request(document.at("Get Job Status"), like, replaced={_ID: TRAINING})
    listed = Expected(like=document.at("List All Jobs", "Response"), keyed_by_id=("",))
    await document.request(document.at("List All Jobs"), listed)


async def take_back(document: Document) -> None:
    """One that waits is stopped, then deleted."""
    waiting = {_ID: document.notes["waiting"]}
    example = document.at("Stop/Cancel Job", "Response (Queued Job)")
    answer = await document.request(document.at("Stop/Cancel Job"), Expected(like=example), replaced=waiting)
    if not answer["was_queued"]:
        document.report.differ(example, "was_queued is false for a job that waits")
    await document.request(*document.pair("Delete Job"), replaced=waiting)


async def finished(document: Document) -> None:
    """The document's job has ended; the series has both losses, because it evaluates at each report."""
    await document.request(*document.pair("Get Job History"))
    await document.request(*document.pair("Get Job Metrics"), replaced={_ID: TRAINING})


async def stop(document: Document) -> None:
    """A job that runs."""
    name = _STOPPED.replace("_", "-")
    await document.machine.apply(training_job(name, steps=100_000, scheduling={"priority": "high"}))
    await document.machine.wait(name, "Running")
    example = document.at("Stop/Cancel Job", "Response (Running Job)")
    stopped = await document.request(document.at("Stop/Cancel Job"), Expected(like=example), replaced={_ID: _STOPPED})
    if stopped["was_queued"]:
        document.report.differ(example, "was_queued is true for a job that runs")


async def python(document: Document) -> None:
    """Both train; the first is waited for by the sample itself."""
    upload = document.at("Upload and Train with Custom Dataset")
    started = await document.python(upload, r"^Dataset has 10 samples$", r"^Training started: (job_\S+)$")
    document.made(upload, started and started[1])
    workflow = document.at("Complete Training Workflow")
    await document.python(workflow, "^Validation passed!$", r"^Training completed with [1-9]\d* metric points$")


async def clear(document: Document) -> None:
    """At last."""
    await document.finish_jobs()
    await document.request(*document.pair("Clear All Jobs"))
