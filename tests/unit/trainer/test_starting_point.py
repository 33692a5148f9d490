"""Where training starts: its own checkpoint, else the one of another job, else a clear refusal."""

from pathlib import Path

import pytest

from fettle_schema.run import RunStart
from fettle_trainer.checkpoints import complete
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.job_files import JobFiles, job_files
from fettle_trainer.starting_point import find_start, published_adapter

OTHER = RunStart(job_directory="jobs/other-9f8e7d6c", checkpoint="latest")


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return job_files(tmp_path, "jobs/demo-1a2b3c4d", 1)


def checkpoint(workspace: Path, job: str, attempt: int, step: int) -> Path:
    path = workspace / job / "attempts" / str(attempt) / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "adapter_model.safetensors").write_bytes(b"weights" * 50)
    complete(path, step, tokens=step)
    return path


def test_a_job_without_a_start_begins_at_zero(files: JobFiles) -> None:
    assert find_start(files, None, pytest.fail) is None


def test_every_attempt_of_the_other_job_counts(tmp_path: Path, files: JobFiles) -> None:
    checkpoint(tmp_path, "jobs/other-9f8e7d6c", 1, 10)
    newest = checkpoint(tmp_path, "jobs/other-9f8e7d6c", 7, 20)

    found = find_start(files, OTHER, pytest.fail)
    assert found is not None
    assert found.path == newest


def test_a_named_checkpoint_need_not_be_the_newest(tmp_path: Path, files: JobFiles) -> None:
    named = checkpoint(tmp_path, "jobs/other-9f8e7d6c", 1, 10)
    checkpoint(tmp_path, "jobs/other-9f8e7d6c", 1, 20)

    found = find_start(files, OTHER.model_copy(update={"checkpoint": "checkpoint-10"}), pytest.fail)
    assert found is not None
    assert found.path == named


def test_its_own_checkpoint_wins(tmp_path: Path, files: JobFiles) -> None:
    checkpoint(tmp_path, "jobs/other-9f8e7d6c", 1, 50)
    own = checkpoint(tmp_path, "jobs/demo-1a2b3c4d", 1, 5)

    found = find_start(files, OTHER, pytest.fail)
    assert found is not None
    assert found.path == own


def test_what_is_missing_is_named_with_what_there_is(tmp_path: Path, files: JobFiles) -> None:
    for step in (100, 20):
        checkpoint(tmp_path, "jobs/other-9f8e7d6c", 1, step)

    with pytest.raises(TrainerFailure) as refused:
        find_start(files, OTHER.model_copy(update={"checkpoint": "checkpoint-7"}), pytest.fail)
    assert "'checkpoint-7'" in str(refused.value)
    assert refused.value.hint == "It has checkpoint-20, checkpoint-100."


def test_a_damaged_one_is_named_and_then_refused(tmp_path: Path, files: JobFiles) -> None:
    (checkpoint(tmp_path, "jobs/other-9f8e7d6c", 1, 10) / "adapter_model.safetensors").write_bytes(b"")
    warnings: list[str] = []

    with pytest.raises(TrainerFailure, match="no complete checkpoint"):
        find_start(files, OTHER, warnings.append)
    assert "adapter_model.safetensors" in warnings[0]


@pytest.mark.parametrize("job", ["../elsewhere", "/etc"])
def test_another_job_lies_inside_the_workspace(files: JobFiles, job: str) -> None:
    with pytest.raises(TrainerFailure, match=r"spec\.startFrom\.trainingJob"):
        find_start(files, OTHER.model_copy(update={"job_directory": job}), pytest.fail)


def test_an_adapter_is_a_directory_of_the_workspace(tmp_path: Path) -> None:
    adapter = tmp_path / "adapters" / "helper"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")

    assert published_adapter(tmp_path, "adapters/helper") == adapter
    for path in ("adapters/other", "adapters/../adapters/helper"):
        with pytest.raises(TrainerFailure, match=r"spec\.startFrom\.adapter"):
            published_adapter(tmp_path, path)
