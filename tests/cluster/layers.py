"""An image from buildah as an OCI archive without the layers that containerd has already.

A change of our code is one small layer above gigabytes of dependencies; containerd takes an image whose other layers
it holds. buildah has no option for that, but skips each layer that its target folder seems to have.
"""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.cluster.processes import run

LAYOUT = '{"imageLayoutVersion": "1.0.0"}'


def missing_bytes(image: str, present: set[str]) -> int:
    """The size of the layers that containerd would have to be given."""
    return sum(size for digest, size in layers_of(image).items() if digest not in present)


@contextmanager
def archive_of_missing(image: str, name: str, present: set[str]) -> Iterator[IO[bytes]]:
    """An OCI archive of an image of buildah, under that name, without the layers in `present`."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as stream:
        layout = Path(folder, "layout")
        blobs = layout / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        (layout / "oci-layout").write_text(LAYOUT)
        there = {digest: size for digest, size in layers_of(image).items() if digest in present}
        placeholders = [blobs / digest.removeprefix("sha256:") for digest in there]
        for placeholder, size in zip(placeholders, there.values(), strict=True):
            placeholder.touch()
            # Without content, but with the size that buildah writes into the manifest.
            os.truncate(placeholder, size)
        run("buildah", "push", "--quiet", "--format", "oci", image, f"oci:{layout}:{name}")
        for placeholder in placeholders:
            placeholder.unlink()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            archive.add(layout, arcname=".")
        stream.seek(0)
        yield stream


def layers_of(image: str) -> dict[str, int]:
    """Digest → size of each layer as a plain tar archive."""
    manifest = json.loads(json.loads(run("buildah", "inspect", "--type", "image", image))["Manifest"])
    return {layer["digest"]: layer["size"] for layer in manifest["layers"]}
