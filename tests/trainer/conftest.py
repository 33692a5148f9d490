"""A workspace with a tiny model and a dataset, and one uninterrupted run that others are compared with."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle_trainer.training import OPTIONAL
from tests.support.runs import RunFiles, finish_run, run_config, write_run
from tests.support.small_disk import small_disk as small_disk
from tests.support.tiny_model import build_tiny_model, make_workspace
from tests.support.warm_training import train


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory that no test may change."""
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def workspace(tiny_model: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own."""
    return make_workspace(tmp_path / "workspace", tiny_model)


@pytest.fixture(autouse=True)
def _libraries_that_a_run_left_out() -> Iterator[None]:
    """A run in this process says for all that they are not installed."""
    yield
    for library in OPTIONAL:
        if sys.modules.get(library, sys) is None:
            del sys.modules[library]


@pytest.fixture(scope="session")
def uninterrupted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A run of eight steps with dropout and accumulation, from start to end; read only."""
    workspace = make_workspace(tmp_path_factory.mktemp("uninterrupted") / "workspace", tiny_model)
    files = write_run(workspace, run_config())
    assert finish_run(files) == 0, files.log()
    return files


@pytest.fixture(scope="session")
def without_dropout(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """The same without dropout, with steps of four micro-batches of two examples: what other ways to the same steps
    are compared with; read only.
    """
    workspace = make_workspace(tmp_path_factory.mktemp("without-dropout") / "workspace", tiny_model)
    settings = {"batchSize": 2, "gradientAccumulationSteps": 4}
    files = write_run(workspace, run_config(adapter={"dropout": 0.0}, hyperparameters=settings))
    assert train(files) == 0, files.log()
    return files
