import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fettle_api.errors import FileMissingError
from fettle_api.files.workspace import Workspace
from fettle_api.ollama.model_files import Measured, ModelFile, ModelFiles
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job

CONTENT = b"weights" * 300_000


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return ModelFiles(Workspace(tmp_path))


def write(root: Path, contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def job(attempt: int | None = None) -> JobView:
    metadata = {"name": "demo", "uid": "12345678-1", "creationTimestamp": "2026-01-01T12:00:00Z"}
    status = {"attempts": {"current": attempt}} if attempt else {}
    return view_job({"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}}, "status": status})


async def test_what_belongs_to_a_model(files: ModelFiles, tmp_path: Path) -> None:
    names = ("config.json", "model-1.safetensors", "model-2.safetensors", "tokenizer.json", "tokenizer.model")
    others = ("README.md", "fettle.json", "training_args.bin", "below/x.json")
    write(tmp_path, {f"models/m/{name}": b"{}" for name in (*names, *others)})
    (tmp_path / "models/m/link.json").symlink_to(tmp_path / "models/m/config.json")
    assert [file.name for file in await files.of_model("models/m")] == list(names)


@pytest.mark.parametrize("names", [[], ["config.json"], ["model.safetensors"], ["config.json", "model.bin"]])
async def test_what_is_no_model(files: ModelFiles, tmp_path: Path, names: list[str]) -> None:
    write(tmp_path, {f"models/m/{name}": b"{}" for name in names})
    assert await files.of_model("models/m") == []
    assert await files.of_model("../m") == []


async def test_a_file_is_measured_and_read(files: ModelFiles, tmp_path: Path) -> None:
    write(tmp_path, {"models/m/x": CONTENT})
    for file in (ModelFile("x", "models/m/x"), ModelFile("x", "nowhere", CONTENT)):
        assert await files.measure(file) == Measured(f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", len(CONTENT))
        assert b"".join([piece async for piece in files.read(file)]) == CONTENT


async def test_files_that_are_gone(files: ModelFiles, tmp_path: Path) -> None:
    write(tmp_path, {"adapters/a/x": b""})
    assert [file.path for file in await files.named("adapters/a", ["x"])] == ["adapters/a/x"]
    for call in (files.named("adapters/a", ["x", "y"]), files.measure(ModelFile("y", "adapters/a/y"))):
        with pytest.raises(FileMissingError):
            await call


@pytest.mark.parametrize(
    ("contents", "template"),
    [
        ({}, None),
        ({"chat_template.jinja": b"a", "tokenizer_config.json": b'{"chat_template": "b"}'}, "a"),
        ({"tokenizer_config.json": b'{"chat_template": "b"}'}, "b"),
        ({"tokenizer_config.json": b'{"chat_template": [1]}'}, None),
        ({"tokenizer_config.json": b"[1]"}, None),
        ({"tokenizer_config.json": b"{"}, None),
    ],
)
async def test_the_template_of_a_tokenizer(
    files: ModelFiles, tmp_path: Path, contents: dict[str, bytes], template: str | None
) -> None:
    write(tmp_path, {f"models/m/{name}": content for name, content in contents.items()})
    assert await files.chat_template("models/m") == template


@pytest.mark.parametrize(
    ("result", "path"),
    [
        ({"exitCode": 0, "mergedOutput": {"kind": "model", "path": "models/m/0", "digest": "x"}}, "models/m/0"),
        ({"exitCode": 0, "mergedOutput": {"kind": "model", "path": "jobs/other", "digest": "x"}}, None),
        ({"exitCode": 0}, None),
        ([], None),
    ],
)
async def test_a_merged_model_beside_the_adapter(
    files: ModelFiles, tmp_path: Path, result: Any, path: str | None
) -> None:
    write(tmp_path, {"jobs/demo-12345678/attempts/2/result.json": json.dumps(result).encode()})
    assert await files.merged_output(job(2)) == path
    assert await files.merged_output(job()) is None
