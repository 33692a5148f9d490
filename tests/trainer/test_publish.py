"""Publishing is one rename: whole or not there, and safe to repeat."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fettle_trainer.failures import TrainerFailure
from fettle_trainer.publish import directory_digest, publish_adapter, publish_model

PROVENANCE = {"job": {"name": "demo"}}


def save(directory: Path, value: float = 1.0) -> None:
    """What PEFT leaves, with its own file modes and more files than needed."""
    import torch
    from safetensors.torch import save_file

    weights = directory / "adapter_model.safetensors"
    save_file({"lora_B": torch.full((2, 2), value)}, weights)
    weights.chmod(0o600)
    config = {"target_modules": ["v_proj", "q_proj"], "r": 4, "base_model_name_or_path": str(directory)}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    (directory / "README.md").write_text("card")


def publish(workspace: Path, saver: Any = save, owner: str = "uid") -> Any:
    return publish_adapter(saver, workspace, "adapters", "demo", "acme/base", owner, PROVENANCE)


def test_published_directory_is_named_by_its_digest(tmp_path: Path) -> None:
    published = publish(tmp_path)

    directory = tmp_path / published.path
    assert directory_digest(directory) == published.digest
    assert directory.name == published.digest.removeprefix("sha256:")[:12]
    assert published.size_bytes == sum(path.stat().st_size for path in directory.iterdir())
    config = json.loads((directory / "adapter_config.json").read_text())
    assert config == {"base_model_name_or_path": "acme/base", "r": 4, "target_modules": ["q_proj", "v_proj"]}
    assert not (directory / "README.md").exists()
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o644}


def test_publishing_again_is_success_and_changes_nothing(tmp_path: Path) -> None:
    first = publish(tmp_path)
    inode = (tmp_path / first.path).stat().st_ino

    assert publish(tmp_path) == first
    assert (tmp_path / first.path).stat().st_ino == inode
    assert len(list((tmp_path / "adapters/demo").iterdir())) == 1


def test_other_weights_become_another_version(tmp_path: Path) -> None:
    first = publish(tmp_path)

    second = publish(tmp_path, lambda directory: save(directory, 2.0))
    assert second.digest != first.digest
    assert len(list((tmp_path / "adapters/demo").iterdir())) == 2


def test_published_files_that_were_changed_are_noticed(tmp_path: Path) -> None:
    first = publish(tmp_path)
    (tmp_path / first.path / "adapter_config.json").write_text("{}")

    with pytest.raises(TrainerFailure, match="with other files"):
        publish(tmp_path)
    assert [path.name for path in (tmp_path / "adapters/demo").iterdir()] == [Path(first.path).name]


def test_weights_that_are_not_finite_are_not_published(tmp_path: Path) -> None:
    with pytest.raises(TrainerFailure, match=r"not finite \(lora_B\)") as refusal:
        publish(tmp_path, lambda directory: save(directory, float("inf")))

    assert refusal.value.exit_code == 71
    assert list((tmp_path / "adapters/demo").iterdir()) == []


def test_failure_while_saving_leaves_nothing(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        save(directory)
        raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space left"):
        publish(tmp_path, fail)
    assert list((tmp_path / "adapters/demo").iterdir()) == []


def test_leftovers_of_a_killed_run_of_this_job_are_removed(tmp_path: Path) -> None:
    own, other = (tmp_path / "adapters/demo" / name for name in (".tmp-uid", ".tmp-another"))
    for directory in (own, other):
        directory.mkdir(parents=True)

    publish(tmp_path)
    assert not own.exists()
    assert other.exists()


def save_model(directory: Path, value: float = 1.0) -> None:
    """Two shards, with a path of this machine in the configuration."""
    import torch
    from safetensors.torch import save_file

    for shard in (1, 2):
        save_file({f"weight{shard}": torch.full((2, 2), value)}, directory / f"model-{shard}.safetensors")
    (directory / "config.json").write_text(json.dumps({"model_type": "llama", "_name_or_path": str(directory)}))


def test_model_is_published_below_models(tmp_path: Path) -> None:
    published = publish_model(save_model, tmp_path, "demo", "uid", PROVENANCE)

    assert published.path.startswith("models/demo/")
    directory = tmp_path / published.path
    assert {path.name for path in directory.iterdir()} == {
        "config.json",
        "fettle.json",
        "model-1.safetensors",
        "model-2.safetensors",
    }
    assert json.loads((directory / "config.json").read_text()) == {"model_type": "llama"}
    assert publish_model(save_model, tmp_path, "demo", "other", PROVENANCE) == published


def test_model_that_is_not_finite_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(TrainerFailure, match=r"not finite \(weight1\)"):
        publish_model(lambda directory: save_model(directory, float("nan")), tmp_path, "demo", "uid", PROVENANCE)
    assert list((tmp_path / "models/demo").iterdir()) == []
