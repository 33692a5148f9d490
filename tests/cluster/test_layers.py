"""Images travel without the layers that are there already."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import layers, machine
from tests.cluster.processes import run

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif("buildah" in str(machine.missing_for_images()), reason="buildah is missing"),
]
LOWER, UPPER = "localhost/fettle-test-lower:1", "localhost/fettle-test-upper:1"


@pytest.fixture
def two_layers(tmp_path: Path) -> Iterator[str]:
    """The name of an image with a large layer below a small one."""
    for name, base, size in ((LOWER, "scratch", 200_000), (UPPER, LOWER, 20)):
        file = tmp_path / f"file{size}"
        file.write_bytes(b"x" * size)
        container = run("buildah", "from", base).strip()
        run("buildah", "add", "--quiet", container, file, f"/{file.name}")
        run("buildah", "commit", "--quiet", "--rm", container, name)
    yield UPPER
    run("buildah", "rmi", UPPER, LOWER)


def test_only_missing_layers_are_in_the_archive(two_layers: str) -> None:
    (lower, size), _ = layers.layers_of(two_layers).items()
    assert size > 200_000
    assert layers.missing_bytes(two_layers, set()) - layers.missing_bytes(two_layers, {lower}) == size
    with (
        layers.archive_of_missing(two_layers, two_layers, {lower}) as stream,
        tarfile.open(fileobj=stream) as archive,
    ):
        files = {Path(member.name).name: archive.extractfile(member) for member in archive if member.isfile()}
        texts = [file.read() for file in files.values() if file]
    assert lower.removeprefix("sha256:") not in files
    assert len(files) == len({"oci-layout", "index.json", "manifest", "config", "upper layer"})
    [manifest] = [json.loads(text) for text in texts if b'"layers":[' in text]
    assert {"digest": lower, "size": size}.items() <= manifest["layers"][0].items()
