"""OpenAI's own Python package, as it is, does everything that this API promises."""

import json
from datetime import UTC, datetime
from typing import Any

import openai
import pytest
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob

from fettle_client.protocol import ADAPTERS, TRAINING_JOBS
from tests.support.openai_caller import OpenAIWorld

ROWS = b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}\n'
PAIRS = json.dumps(
    {
        "input": {"messages": [{"role": "user", "content": "q"}]},
        "preferred_output": [{"role": "assistant", "content": "good"}],
        "non_preferred_output": [{"role": "assistant", "content": "bad"}],
    }
).encode()


async def uploaded(world: OpenAIWorld, content: bytes = ROWS, **options: Any) -> FileObject:
    return await world.caller.files.create(file=("train.jsonl", content), purpose="fine-tune", **options)


async def created(world: OpenAIWorld, **options: Any) -> FineTuningJob:
    file = options.pop("training_file", None) or (await uploaded(world)).id
    return await world.caller.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file, **options)


async def spec_of(world: OpenAIWorld, job: FineTuningJob) -> dict[str, Any]:
    manifest = world.facade.client.item(TRAINING_JOBS, job.id)
    assert manifest is not None
    return dict(manifest["spec"])


async def test_a_file_comes_and_goes(world: OpenAIWorld) -> None:
    file = await uploaded(world)
    assert (file.filename, file.bytes, file.purpose, file.status) == (
        "train.jsonl",
        len(ROWS),
        "fine-tune",
        "processed",
    )
    assert await world.caller.files.retrieve(file.id) == file
    assert (await world.caller.files.content(file.id)).content == ROWS
    assert (await world.caller.files.delete(file.id)).deleted
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {file.id}"):
        await world.caller.files.retrieve(file.id)


async def test_files_are_listed_page_by_page(world: OpenAIWorld) -> None:
    made = [(await uploaded(world)).id for _ in range(3)]
    other = await world.caller.files.create(file=b"{}", purpose="batch")
    assert [file.id async for file in world.caller.files.list(limit=2)] == [other.id, *reversed(made)]
    assert [file.id async for file in world.caller.files.list(order="asc", purpose="fine-tune")] == made
    page = await world.caller.files.list(limit=2)
    assert page.has_more
    assert [file.id for file in (await page.get_next_page()).data] == [made[1], made[0]]


async def test_a_file_that_expires(world: OpenAIWorld) -> None:
    file = await uploaded(world, expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at == file.created_at + 3600
    with pytest.raises(openai.BadRequestError, match=r"expires_after.seconds"):
        await uploaded(world, expires_after={"anchor": "created_at", "seconds": 1})


async def test_a_supervised_job_with_everything(world: OpenAIWorld) -> None:
    validation_file = (await uploaded(world)).id
    hyperparameters = {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": 0.5}
    job = await created(
        world,
        validation_file=validation_file,
        suffix="My Helper",
        seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        integrations=[{"type": "wandb", "wandb": {"project": "p", "name": "n", "entity": "e", "tags": ["a", "b"]}}],
        metadata={"team": "a/b", "": "empty key"},
    )
    assert job.method is not None
    assert job.method.supervised is not None
    assert job.method.supervised.hyperparameters is not None
    shown = job.method.supervised.hyperparameters
    assert (shown.n_epochs, shown.batch_size, shown.learning_rate_multiplier) == (2, "auto", 0.5)
    assert (job.model, job.seed, job.status) == ("gpt-4o-mini", 7, "validating_files")
    assert job.validation_file == validation_file
    assert job.metadata == {"team": "a/b", "": "empty key"}
    assert job.integrations is not None
    assert job.integrations[0].wandb.tags == ["a", "b"]
    assert await world.caller.fine_tuning.jobs.retrieve(job.id) == job
    spec = await spec_of(world, job)
    assert spec["baseModel"] == {"id": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    assert spec["hyperparameters"]["learningRateMultiplier"] == 0.5
    assert spec["dataset"]["evaluation"]["source"]["workspace"]["path"] == f"uploads/{validation_file}"
    assert spec["output"]["adapterName"].startswith("my-helper-")


async def test_a_dpo_job_with_openais_preference_rows(world: OpenAIWorld) -> None:
    job = await created(
        world,
        training_file=(await uploaded(world, PAIRS)).id,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": "auto"}}},
    )
    assert job.method is not None
    assert job.method.dpo is not None
    assert job.method.dpo.hyperparameters is not None
    assert (job.method.dpo.hyperparameters.beta, job.method.dpo.hyperparameters.n_epochs) == (0.2, "auto")
    spec = await spec_of(world, job)
    assert (spec["method"], spec["hyperparameters"]["beta"]) == ("dpo", 0.2)
    columns = {"input": "prompt", "preferred_output": "chosen", "non_preferred_output": "rejected"}
    assert spec["dataset"]["columns"] == columns


async def test_the_older_place_of_hyperparameters(world: OpenAIWorld) -> None:
    job = await created(world, hyperparameters={"n_epochs": 4, "batch_size": 8})
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (4, 8)
    assert job.hyperparameters.learning_rate_multiplier == "auto"


async def test_jobs_are_listed_page_by_page_the_newest_first(world: OpenAIWorld) -> None:
    made = [(await created(world, metadata={"n": str(number % 2)})).id for number in range(4)]
    jobs = world.caller.fine_tuning.jobs
    assert [job.id async for job in jobs.list(limit=3)] == made[::-1]
    assert [job.id for job in (await jobs.list(after=made[1])).data] == [made[0]]
    assert [job.id async for job in jobs.list(metadata={"n": "1"})] == [made[3], made[1]]
    bare = await created(world)
    assert [job.id async for job in jobs.list(extra_query={"metadata": "null"})] == [bare.id]


async def test_cancel_pause_and_resume(world: OpenAIWorld) -> None:
    job, jobs = await created(world), world.caller.fine_tuning.jobs
    await world.facade.set_status(job.id, phase="Running")
    assert (await jobs.retrieve(job.id)).status == "running"
    assert (await jobs.pause(job.id)).status == "queued"
    assert (await spec_of(world, job))["suspend"] is True
    assert (await jobs.resume(job.id)).status == "running"
    assert (await jobs.cancel(job.id)).status == "cancelled"
    for change in (jobs.cancel, jobs.pause, jobs.resume):
        with pytest.raises(openai.BadRequestError, match="already ended"):
            await change(job.id)


def at(job: FineTuningJob, seconds: int) -> str:
    return datetime.fromtimestamp(job.created_at + seconds, UTC).isoformat()


def reports(job: FineTuningJob) -> list[dict[str, Any]]:
    """Three steps and an evaluation."""
    common = {"attempt": 1, "kind": "step", "total_steps": 3}
    steps = [{**common, "time": at(job, 10 + step), "step": step, "loss": 3.0 - step} for step in (1, 2, 3)]
    return [*steps, {"time": at(job, 14), "attempt": 1, "kind": "evaluation", "step": 3, "eval_loss": 0.25}]


async def test_a_job_that_succeeded(world: OpenAIWorld) -> None:
    job = await created(world, suffix="helper")
    directory = world.facade.job_path(job.id)
    (directory / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in reports(job)))
    checkpoint = directory / "attempts/1/checkpoints/checkpoint-2"
    checkpoint.mkdir(parents=True)
    (checkpoint / "fettle-checkpoint.json").write_text("{}")
    result = {"exitCode": 0, "metrics": {"tokens": 1234}}
    (directory / "attempts/1/result.json").write_text(json.dumps(result))
    end = at(job, 14)
    condition = {"status": "True", "reason": "Done", "lastTransitionTime": end}
    await world.facade.set_status(
        job.id,
        phase="Succeeded",
        conditions=[{**condition, "type": "Complete"}],
        completionTime=end,
        adapter="helper-1",
        attempts={"current": 1},
        resolved={"hyperparameters": {"epochs": 3.0, "batchSize": 4, "learningRate": 0.0002}},
    )
    jobs = world.caller.fine_tuning.jobs
    done = await jobs.retrieve(job.id)
    assert (done.status, done.trained_tokens, done.finished_at) == ("succeeded", 1234, job.created_at + 14)
    assert done.hyperparameters.model_dump() == {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.0}
    assert done.fine_tuned_model == f"ft:gpt-4o-mini::helper:{job.id.removeprefix('ftjob-')}"

    assert [event.message async for event in jobs.list_events(job.id, limit=2)] == [
        "The job has successfully completed",
        f"New fine-tuned model created: {done.fine_tuned_model}",
        "Step 3: full validation loss=0.25",
        "Step 3/3: training loss=0.00",
        "Step 2/3: training loss=1.00",
        "Step 1/3: training loss=2.00",
        f"Created fine-tuning job: {job.id}",
    ]
    (event,) = (await jobs.list_events(job.id, limit=1, after=await _event_id(world, job.id, "successfully"))).data
    assert event.message == f"New fine-tuned model created: {done.fine_tuned_model}"

    (kept,) = (await jobs.checkpoints.list(job.id)).data
    assert (kept.step_number, kept.metrics.train_loss) == (2, 1.0)
    assert kept.fine_tuned_model_checkpoint == f"{done.fine_tuned_model}:ckpt-step-2"

    (result_file,) = done.result_files
    content = (await world.caller.files.content(result_file)).text
    assert content.splitlines()[:2] == [
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy",
        "1,2.0,,,",
    ]
    assert (await world.caller.files.retrieve(result_file)).bytes == len(content)
    assert [file.id async for file in world.caller.files.list(purpose="fine-tune-results")] == [result_file]


async def _event_id(world: OpenAIWorld, job_id: str, words: str) -> str:
    events = [event async for event in world.caller.fine_tuning.jobs.list_events(job_id)]
    (found,) = [event.id for event in events if words in event.message]
    return found


async def test_a_job_that_failed(world: OpenAIWorld) -> None:
    job = await created(world)
    failure = {"code": "DatasetInvalid", "message": "Row 3 has no messages.", "hint": "Add some."}
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "DatasetInvalid",
        "lastTransitionTime": "2026-01-01T12:00:04Z",
    }
    await world.facade.set_status(job.id, phase="Failed", failure=failure, conditions=[condition])
    failed = await world.caller.fine_tuning.jobs.retrieve(job.id)
    assert failed.error is not None
    assert (failed.error.code, failed.error.param) == ("DatasetInvalid", "training_file")
    assert failed.error.message == "Row 3 has no messages. Add some."
    events = (await world.caller.fine_tuning.jobs.list_events(job.id)).data
    assert [event.level for event in events if "Row 3" in event.message] == ["error"]


async def test_a_model_is_listed_trained_on_and_deleted(world: OpenAIWorld) -> None:
    job = await created(world, suffix="helper")
    name = str((await spec_of(world, job))["output"]["adapterName"])
    spec = {
        "baseModel": {"id": "HuggingFaceTB/SmolLM2-135M-Instruct"},
        "source": {"trainingJob": job.id},
        "digest": f"sha256:{'0' * 64}",
    }
    await world.facade.client.create(ADAPTERS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    await world.facade.set_status(job.id, phase="Succeeded", adapter=name)
    model = (await world.caller.fine_tuning.jobs.retrieve(job.id)).fine_tuned_model
    assert model is not None
    assert [known.id async for known in world.caller.models.list()] == ["gpt-4o-mini", model]
    assert (await world.caller.models.retrieve(model)).owned_by == "org-default"
    again = await world.caller.fine_tuning.jobs.create(model=model, training_file=(await uploaded(world)).id)
    spec = await spec_of(world, again)
    assert spec["startFrom"] == {"adapter": name}
    assert spec["baseModel"] == {"id": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    assert (await world.caller.models.delete(model)).deleted
    with pytest.raises(openai.NotFoundError) as missing:
        await world.caller.models.retrieve(model)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="cannot be deleted"):
        await world.caller.models.delete("gpt-4o-mini")


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"training_file": "file-unknown"}, "training_file", "invalid_training_file"),
        ({"validation_file": "file-unknown"}, "validation_file", "invalid_validation_file"),
        ({"model": "ft:a/b::x:0123456789abcdef"}, "model", "model_not_found"),
        ({"model": "not a model"}, "model", "invalid_value"),
        ({"suffix": "x" * 65}, "suffix", "above_max_length"),
        ({"seed": -1}, "seed", "below_min_value"),
        ({"method": {"type": "reinforcement"}}, "method.type", "unsupported_method"),
        ({"method": {"type": "other"}}, "method.type", "invalid_value"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "below_min_value"),
        ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs", "invalid_type"),
        (
            {"integrations": [{"type": "wandb", "wandb": {}}]},
            "integrations[0].wandb.project",
            "missing_required_parameter",
        ),
        ({"integrations": [{"type": "other", "wandb": {"project": "p"}}]}, "integrations[0].type", "invalid_value"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata", "above_max_length"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "above_max_length"),
    ],
)
async def test_what_is_refused_says_where(world: OpenAIWorld, changes: dict[str, Any], param: str, code: str) -> None:
    request = {"model": "gpt-4o-mini", "training_file": (await uploaded(world)).id, **changes}
    with pytest.raises(openai.BadRequestError) as refused:
        await world.caller.fine_tuning.jobs.create(**request)
    assert (refused.value.param, refused.value.code, refused.value.type) == (param, code, "invalid_request_error")
    assert world.facade.client.items(TRAINING_JOBS) == []


async def test_a_file_with_another_purpose_trains_nothing(world: OpenAIWorld) -> None:
    file = await world.caller.files.create(file=b"{}", purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="purpose 'user_data'"):
        await created(world, training_file=file.id)


async def test_who_is_not_known(world: OpenAIWorld) -> None:
    async with openai.AsyncOpenAI(base_url=world.url, api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            await stranger.models.list()
    assert refused.value.code == "invalid_api_key"


async def test_unknown_jobs(world: OpenAIWorld) -> None:
    jobs = world.caller.fine_tuning.jobs
    for call in (jobs.retrieve, jobs.cancel, jobs.pause, jobs.resume, jobs.list_events, jobs.checkpoints.list):
        with pytest.raises(openai.NotFoundError) as missing:
            await call("ftjob-unknown")
        assert (missing.value.code, missing.value.param) == ("fine_tune_not_found", "fine_tune_id")
