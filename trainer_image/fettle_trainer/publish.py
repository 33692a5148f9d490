"""Publishing a directory: everything is written and checked in a hidden one, then renamed once. Nothing that is
half-written is ever seen, and equal weights of one job always get the same digest.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_schema.layout import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, MODELS, artifact_directory
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.atomic_file import READABLE_BY_ALL, sync_directory, sync_file, write_json
from fettle_trainer.checkpoints import digest_of
from fettle_trainer.failures import NON_FINITE_HINT, TrainerFailure

PROVENANCE_FILE = "fettle.json"
ADAPTER_FILES = (ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, PROVENANCE_FILE)
"""All that an adapter's place holds."""
_DIRECTORY_MODE = 0o755


@dataclass(frozen=True)
class PublishedArtifact:
    """A directory that will not change any more."""

    path: str
    """Inside the workspace."""
    digest: str
    size_bytes: int


def publish_adapter(
    save: Callable[[Path], None],
    workspace: Path,
    kind_directory: str,
    name: str,
    base_model: str,
    owner: str,
    provenance: dict[str, Any],
) -> PublishedArtifact:
    """Let `save` write an adapter, check it, and give it its place. If the same one is there already, that is success.

    `base_model` is what adapter_config.json refers to, `owner` the uid of the job whose lock the caller holds;
    `provenance` must hold nothing that differs between an interrupted and an uninterrupted run.
    """

    def write(directory: Path) -> None:
        save(directory)
        _tidy(directory, base_model)
        _require_finite(directory / ADAPTER_WEIGHTS_FILE)

    return publish_directory(write, workspace, kind_directory, name, owner, provenance)


def publish_model(
    save: Callable[[Path], None], workspace: Path, name: str, owner: str, provenance: dict[str, Any]
) -> PublishedArtifact:
    """Let `save` write a model and its tokenizer, check it, and give it its place below `models/`."""

    def write(directory: Path) -> None:
        save(directory)
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        config.pop("_name_or_path", None)  # a path of this machine
        write_json(directory / "config.json", config)
        for path in sorted(directory.glob("*.safetensors")):
            _require_finite(path)

    return publish_directory(write, workspace, MODELS, name, owner, provenance)


def publish_directory(
    write: Callable[[Path], None],
    workspace: Path,
    kind_directory: str,
    name: str,
    owner: str,
    provenance: dict[str, Any],
) -> PublishedArtifact:
    """`place_directory` with the provenance among the files; `owner` and `provenance` as in `publish_adapter`."""

    def write_all(directory: Path) -> None:
        write(directory)
        write_json(directory / PROVENANCE_FILE, provenance)

    return place_directory(write_all, workspace, kind_directory, name, owner)


def place_directory(
    write: Callable[[Path], None], workspace: Path, kind_directory: str, name: str, owner: str
) -> PublishedArtifact:
    """Let `write` fill and check an empty directory, and give it the place its digest names.

    If the same files are there already, that is success. Nobody else places for the same `owner` at the same time.
    """
    directory = workspace / kind_directory / name
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".tmp-{owner}"
    shutil.rmtree(temporary, ignore_errors=True)  # of a process of the same owner that was killed here
    temporary.mkdir(mode=_DIRECTORY_MODE)
    try:
        write(temporary)
        digest, size = seal(temporary)
        path = artifact_directory(kind_directory, name, digest)
        _rename(temporary, workspace / path, digest)
        return PublishedArtifact(path, digest, size)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def directory_digest(directory: Path) -> str:
    """`sha256:<hex>` over the paths and contents of all files."""
    digest = hashlib.sha256()
    for path in _files(directory):
        digest.update(f"{path.relative_to(directory).as_posix()}\0{digest_of(path)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def seal(directory: Path) -> tuple[str, int]:
    """Make all files readable and durable; digest and size of the directory."""
    directory.chmod(_DIRECTORY_MODE)
    for path in _files(directory):
        path.chmod(READABLE_BY_ALL)
        sync_file(path)
    sync_directory(directory)
    return directory_digest(directory), sum(path.stat().st_size for path in _files(directory))


def _tidy(directory: Path, base_model: str) -> None:
    for path in _files(directory):
        if path.name not in ADAPTER_FILES:
            path.unlink()
    config_path = directory / ADAPTER_CONFIG_FILE
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_model
    for key, value in config.items():  # PEFT keeps sets, whose order changes from process to process
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            config[key] = sorted(value)
    write_json(config_path, dict(sorted(config.items())))


def _require_finite(path: Path) -> None:
    import torch
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a dictionary
            if not torch.isfinite(file.get_tensor(name)).all():
                raise TrainerFailure(
                    ExitCode.NON_FINITE, f"the trained weights are not finite ({name})", NON_FINITE_HINT
                )


def _rename(temporary: Path, target: Path, digest: str) -> None:
    try:
        temporary.rename(target)
    except OSError as error:
        if not target.is_dir():
            raise
        if directory_digest(target) != digest:
            raise TrainerFailure(
                ExitCode.RETRY,
                f"{target.name!r} exists in {target.parent.name!r} with other files",
                "Its files were changed after publishing; remove the directory and let the run repeat.",
            ) from error
    sync_directory(target.parent)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())
