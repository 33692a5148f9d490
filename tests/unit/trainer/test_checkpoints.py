"""Which checkpoint a run continues: the newest whole one, and each damaged one is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fettle_trainer.checkpoints import complete, find_newest, prune, remove_unfinished
from fettle_trainer.job_files import JobFiles, job_files

MANIFEST = "fettle-checkpoint.json"


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return job_files(tmp_path, "jobs/demo-1a2b3c4d", 3)


def make(files: JobFiles, attempt: int, step: int) -> Path:
    path = files.attempts / str(attempt) / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth"):
        (path / name).write_bytes(f"{name} {step}".encode() * 50)
    complete(path, step, tokens=step * 10)
    return path


def test_nothing_is_found_in_a_new_job(files: JobFiles) -> None:
    assert find_newest(files, pytest.fail) is None


def test_most_steps_win_then_the_later_attempt(files: JobFiles) -> None:
    make(files, 1, 100)
    make(files, 1, 20)
    expected = make(files, 2, 100)
    make(files, 4, 500)  # an attempt that is not earlier than ours

    found = find_newest(files, pytest.fail)
    assert found is not None
    assert (found.path, found.step, found.tokens) == (expected, 100, 1000)


def truncate(path: Path) -> None:
    (path / "optimizer.pt").write_bytes(b"short")


def corrupt(path: Path) -> None:
    file = path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes().swapcase())


def rewrite_manifest(**changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        manifest = json.loads((path / MANIFEST).read_text())
        (path / MANIFEST).write_text(json.dumps({**manifest, **changes}))

    return change


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated file": (truncate, "optimizer.pt has 5 bytes instead of"),
    "missing file": (lambda path: (path / "rng_state.pth").unlink(), "rng_state.pth is missing"),
    "changed file": (corrupt, "adapter_model.safetensors has changed"),
    "no manifest": (lambda path: (path / MANIFEST).unlink(), f"{MANIFEST} is missing"),
    "garbage": (lambda path: (path / MANIFEST).write_bytes(b"\xff{"), f"{MANIFEST} cannot be read"),
    "a list": (lambda path: (path / MANIFEST).write_text("[]"), f"{MANIFEST} is not a manifest"),
    "no files": (rewrite_manifest(files={}), f"{MANIFEST} is not a manifest"),
    "odd files": (rewrite_manifest(files=["optimizer.pt"]), f"{MANIFEST} is not a manifest"),
    "no step": (rewrite_manifest(step=None), f"{MANIFEST} is not a manifest"),
    "other version": (rewrite_manifest(version=99), f"{MANIFEST} is not a manifest"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_checkpoint_is_named_and_passed_over(files: JobFiles, name: str) -> None:
    damage, expected = DAMAGES[name]
    older = make(files, 1, 50)
    damage(make(files, 2, 100))
    warnings: list[str] = []

    found = find_newest(files, warnings.append)
    assert found is not None
    assert found.path == older
    assert len(warnings) == 1
    assert warnings[0].startswith("jobs/demo-1a2b3c4d/attempts/2/checkpoints/checkpoint-100 is not used: ")
    assert expected in warnings[0]


def test_prune_keeps_the_newest(files: JobFiles) -> None:
    paths = [make(files, 1, step) for step in (5, 100, 20)]

    prune(paths[0].parent, keep_last=2)
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["checkpoint-100", "checkpoint-20"]


def test_prune_keeps_the_one_with_the_lowest_evaluation_loss(files: JobFiles) -> None:
    paths = [make(files, 1, step) for step in (1, 2, 3, 4, 5)]
    for path, loss in zip(paths, (3.0, 1.0, 2.0, None, 4.0), strict=True):
        complete(path, int(path.name.rpartition("-")[2]), 10, loss)
    prune(paths[0].parent, keep_last=2)

    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["checkpoint-2", "checkpoint-4", "checkpoint-5"]


def test_remove_unfinished_leaves_whole_ones(files: JobFiles) -> None:
    whole, broken = make(files, 1, 5), make(files, 1, 10)
    (broken / MANIFEST).unlink()

    remove_unfinished(whole.parent)
    assert whole.exists()
    assert not broken.exists()


def test_files_of_a_checkpoint_are_readable_by_others(files: JobFiles) -> None:
    path = make(files, 1, 5)
    secret = path / "optimizer.pt"
    secret.chmod(0o600)
    complete(path, 5, tokens=0)

    assert secret.stat().st_mode & 0o777 == 0o644
