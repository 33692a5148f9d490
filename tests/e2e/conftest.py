"""One cluster with a node and one installation for all end-to-end tests: the chart, the real images, a tiny model."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from images.build import build as build_image
from tests.cluster import Cluster, build, machine
from tests.e2e.installation import CLAIM, DATASET_PATH, MODEL_PATH, NAMESPACE, Installation
from tests.support.tiny_model import message_rows, write_rows

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65532
PARTS = ("operator", "api", "trainer")
IMPATIENT = {
    "FETTLE_POD_START_TIMEOUT_SECONDS": "20",
    "FETTLE_RETRY_BACKOFF_SECONDS": "1",
    "FETTLE_SOURCE_CHECK_SECONDS": "2",
}
"""Settings of the operator that only say how long it waits."""


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The images of this tree, built unless they are there."""
    reasons = machine.missing_for_node() + machine.missing_for_images()
    if reasons:
        pytest.skip("; ".join(reasons))
    return {part: build_image(part) for part in PARTS}


@pytest.fixture(scope="session")
def installation(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A fresh cluster with Fettle in a namespace that enforces the Pod Security Standard `restricted`."""
    with fresh_installation(tmp_path_factory.mktemp("e2e"), images, values_for(images)) as installed:
        yield installed


@contextmanager
def fresh_installation(
    folder: Path, images: dict[str, str], values: dict[str, dict[str, object]]
) -> Iterator[Installation]:
    """Fettle in a cluster of its own, in a namespace that enforces `restricted`, with a model and a dataset."""
    build.build_helm()
    cluster = Cluster(folder / "cluster")
    cluster.up(node=True)
    try:
        _load(cluster, images)
        cluster.kubectl("create", "namespace", NAMESPACE)
        level = "pod-security.kubernetes.io/enforce=restricted"
        cluster.kubectl("label", "namespace", NAMESPACE, level)
        installed = Installation(cluster)
        installed.install(values)
        _fill_workspace(installed, folder / "model")
        yield installed
    finally:
        cluster.down()


def _load(cluster: Cluster, images: dict[str, str]) -> None:
    """Give the node the images, and drop what earlier trees have left there: they are gigabytes."""
    repositories = tuple(image.partition(":")[0] + ":" for image in images.values())
    old = [name for name in cluster.images.names() if name.startswith(repositories) and name not in images.values()]
    for image in images.values():
        cluster.load(image)
    if old:
        cluster.images.remove(*old)


def values_for(images: dict[str, str]) -> dict[str, dict[str, object]]:
    """Default values, but for what a single small node without GPUs and registry needs."""
    values: dict[str, dict[str, object]] = {
        part: {"image": dict(zip(("repository", "tag"), image.split(":"), strict=True))}
        for part, image in images.items()
    }
    values["trainer"]["resources"] = {"requests": {"cpu": "500m", "memory": "1Gi"}}
    values["operator"]["environment"] = IMPATIENT
    values["api"] |= {"defaultGpus": 0, "environment": {"FETTLE_API_PROGRESS_INTERVAL_SECONDS": "1"}}
    return {**values, "workspace": {"size": "1Gi", "claimName": CLAIM}}


def _fill_workspace(installed: Installation, folder: Path) -> None:
    """A base model and a dataset where a user would have put them, owned by the user of all pods."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "tests.support.tiny_model", str(folder / MODEL_PATH)]
    subprocess.run(program, check=True, cwd=ROOT, env=environment, capture_output=True)
    write_rows(folder / DATASET_PATH / "train.jsonl", message_rows(48))
    for top in ("models", "datasets"):
        shutil.copytree(folder / top, installed.workspace / top)
        for path in (installed.workspace / top, *(installed.workspace / top).rglob("*")):
            os.chown(path, NOBODY, NOBODY)
