"""Adapters of the tiny model, and one engine process for all tests that speak HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine_process import EngineProcess, build_tiny_adapters, start_engine


@pytest.fixture(scope="session")
def tiny_adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `red`, `blue` and `red-2`; read only."""
    return build_tiny_adapters(tmp_path_factory.mktemp("adapters"), tiny_model)


@pytest.fixture(scope="session")
def engine_process(
    tiny_model: Path, tiny_adapters: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    """Serves `tiny` with the adapters `red` and `blue`; a test leaves it as it found it."""
    adapters = [f"--adapter={name}={tiny_adapters / name}" for name in ("red", "blue")]
    engine = start_engine(
        tmp_path_factory.mktemp("engine"), tiny_model, *adapters, "--max-adapters", "3", "--max-lora-rank", "8"
    )
    yield engine
    engine.process.kill()
    engine.process.wait()
