"""What the Job that examines an Adapter's files reports."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.adapter import AdapterHubSource
from fettle_schema.artifact import ArtifactProblem, ArtifactReport, ArtifactRequest, Compatibility
from fettle_schema.reasons import Reason
from fettle_trainer.adapter_sources import ProblemError, fetch_from_hub
from fettle_trainer.publish import directory_digest
from fettle_trainer.register import examine, main, shortened
from fettle_trainer.serve.adapter_files import read_adapter
from fettle_trainer.serve.errors import InvalidInputError
from tests.support.adapter_files import LAYERS, place_lora, write_base, write_lora

OTHER = "sha256:" + "0" * 64


def request(**fields: Any) -> ArtifactRequest:
    return ArtifactRequest.model_validate({"name": "demo", "uid": "u1", "baseModel": {"id": "models/tiny"}, **fields})


def no_fetch(source: AdapterHubSource) -> Path:
    raise AssertionError(f"nothing is fetched from the hub: {source}")


def report(workspace: Path, **fields: Any) -> ArtifactReport:
    return examine(request(**fields), workspace, no_fetch)


def problem_of(found: ArtifactReport) -> ArtifactProblem:
    assert found.problem is not None
    assert found.path is None
    return found.problem


def compatibility_of(found: ArtifactReport) -> Compatibility:
    assert found.compatibility is not None, found
    return found.compatibility


def test_files_at_their_place_are_verified_and_read(tmp_path: Path) -> None:
    write_base(tmp_path / "models/tiny")
    placed = place_lora(tmp_path, rank=8)
    found = report(tmp_path, path=placed.path, digest=placed.digest)
    assert (found.path, found.digest, found.size_bytes) == (placed.path, placed.digest, placed.size_bytes)
    assert (found.rank, found.target_modules) == (8, ["down_proj", "q_proj"])
    assert compatibility_of(found).reason is Reason.FITS


def test_a_file_that_was_changed_is_found_whoever_is_asked(tmp_path: Path) -> None:
    placed = place_lora(tmp_path)
    weights = tmp_path / placed.path / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for digest in (placed.digest, None):
        problem = problem_of(report(tmp_path, path=placed.path, digest=digest))
        assert problem.reason is Reason.DIGEST_MISMATCH
        assert placed.path in problem.message
    with pytest.raises(InvalidInputError, match="changed after publishing"):
        read_adapter(tmp_path / placed.path)


def test_a_file_that_was_added_is_found_too(tmp_path: Path) -> None:
    placed = place_lora(tmp_path)
    (tmp_path / placed.path / "more.bin").write_bytes(b"x")
    assert problem_of(report(tmp_path, path=placed.path)).reason is Reason.DIGEST_MISMATCH


def test_files_elsewhere_are_copied_to_the_place_of_their_digest(tmp_path: Path) -> None:
    source = write_lora(tmp_path / "uploads/mine")
    (source / "optimizer.pt").write_bytes(b"large")
    found = report(tmp_path, path="uploads/mine")
    assert found.digest is not None
    assert found.path == f"adapters/demo/{found.digest[7:19]}"
    assert sorted(path.name for path in (tmp_path / found.path).iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert directory_digest(tmp_path / found.path) == found.digest
    assert report(tmp_path, path="uploads/mine") == found
    assert report(tmp_path, path=found.path, digest=found.digest) == found


def test_files_elsewhere_must_have_the_digest_that_the_spec_names(tmp_path: Path) -> None:
    write_lora(tmp_path / "uploads/mine")
    problem = problem_of(report(tmp_path, path="uploads/mine", digest=OTHER))
    assert problem.reason is Reason.DIGEST_MISMATCH
    assert "spec.digest" in problem.message


def test_no_files(tmp_path: Path) -> None:
    assert problem_of(report(tmp_path, path="uploads/none")).reason is Reason.FILES_MISSING


@pytest.mark.parametrize("damage", ["no config", "no weights", "cut", "no json"])
def test_what_is_no_adapter_is_refused_and_leaves_nothing(tmp_path: Path, damage: str) -> None:
    source = write_lora(tmp_path / "uploads/mine")
    config, weights = source / "adapter_config.json", source / "adapter_model.safetensors"
    if damage == "no config":
        config.unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    else:
        config.write_text("not json")
    problem = problem_of(report(tmp_path, path="uploads/mine"))
    assert problem.reason is Reason.FILES_INVALID
    assert "adapter_" in problem.message
    assert list((tmp_path / "adapters/demo").iterdir()) == []


def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    workspace, outside = tmp_path / "workspace", write_lora(tmp_path / "outside")
    (workspace / "uploads").mkdir(parents=True)
    (workspace / "uploads/linked").symlink_to(outside)
    problem = problem_of(report(workspace, path="uploads/linked"))
    assert (problem.reason, "out of the workspace" in problem.message) == (Reason.FILES_INVALID, True)


OTHER_SIZES = {"model.layers.0.self_attn.q_proj": (16, 16), "model.layers.0.mlp.down_proj": (64, 16)}
FEWER_LAYERS = {"model.layers.0.self_attn.q_proj": (16, 16)}


@pytest.mark.parametrize(
    ("base", "named", "config", "reason", "words"),
    [
        (LAYERS, "models/tiny", {}, Reason.FITS, ""),
        (LAYERS, "/somewhere/else", {}, Reason.FITS, ""),
        (OTHER_SIZES, "models/tiny", {}, Reason.BASE_MODEL_MISMATCH, "down_proj"),
        (FEWER_LAYERS, "models/tiny", {}, Reason.BASE_MODEL_MISMATCH, "no layer"),
        (None, "models/tiny", {}, Reason.SAME_NAME, "not compared"),
        (None, "models/large", {}, Reason.BASE_MODEL_MISMATCH, "'models/large'"),
        (LAYERS, "models/tiny", {"use_dora": True}, Reason.NOT_SERVABLE, "use_dora"),
        (LAYERS, "models/tiny", {"modules_to_save": ["lm_head"]}, Reason.NOT_SERVABLE, "modules_to_save"),
        (LAYERS, "models/tiny", {"peft_type": "IA3"}, Reason.NOT_SERVABLE, "IA3"),
        (OTHER_SIZES, "models/tiny", {"use_dora": True}, Reason.BASE_MODEL_MISMATCH, "down_proj"),
    ],
)
def test_whether_it_fits(
    tmp_path: Path,
    base: dict[str, tuple[int, int]] | None,
    named: str,
    config: dict[str, Any],
    reason: Reason,
    words: str,
) -> None:
    if base is not None:
        write_base(tmp_path / "models/tiny", base)
    placed = place_lora(tmp_path, base=named, **config)
    found = compatibility_of(report(tmp_path, path=placed.path))
    assert found.reason is reason
    assert words in found.message


def test_a_repository_of_the_hub_gets_a_place_and_its_commit_is_told(tmp_path: Path) -> None:
    snapshot = write_lora(tmp_path / "cache/c0ffee")
    source = {"huggingFace": {"id": "acme/helper", "revision": "main"}}
    found = examine(request(**source), tmp_path / "workspace", lambda _: snapshot)
    assert found.source == "acme/helper@c0ffee"
    assert found.path is not None
    assert found.path.startswith("adapters/demo/")


def test_a_repository_in_the_hubs_cache_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository, commit = tmp_path / "hub/models--acme--helper", "c0ffee" + "0" * 34
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    write_lora(repository / "snapshots" / commit)
    found = examine(request(huggingFace={"id": "acme/helper"}), tmp_path / "workspace", fetch_from_hub)
    assert found.source == f"acme/helper@{commit}"
    assert (tmp_path / "workspace" / str(found.path) / "adapter_model.safetensors").is_file()


def test_without_a_network_a_repository_is_a_clear_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ProblemError) as caught:
        fetch_from_hub(AdapterHubSource(id="acme/helper"))
    assert caught.value.problem.reason is Reason.HUB_UNAVAILABLE
    assert "acme/helper" in caught.value.problem.message


def test_the_report_is_the_termination_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    placed = place_lora(tmp_path)
    message = tmp_path / "message"
    environment = {**os.environ, "FETTLE_WORKSPACE": str(tmp_path), "FETTLE_TERMINATION_MESSAGE_PATH": str(message)}
    assert main([json.dumps(request(path=placed.path).manifest())], environment) == 0
    assert ArtifactReport.model_validate_json(message.read_text()).digest == placed.digest
    assert placed.digest in capsys.readouterr().out


def test_a_report_fits_into_a_termination_message() -> None:
    long = ArtifactReport(
        target_modules=["m" * 250] * 64, compatibility=Compatibility(reason=Reason.NOT_SERVABLE, message="é" * 1000)
    )
    assert len(shortened(long).encode()) <= 4096
