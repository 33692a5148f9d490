"""Container images: getting them into the cluster's containerd, and making an image of one program.

An image carries the digest of what it was loaded from as a label, so that loading it again is a look-up.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from tests.cluster import layers
from tests.cluster.processes import ClusterError, clean_environment, run

SOURCE_LABEL = "fettle.dev/source"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
NOBODY = "65532:65532"
# Up to here missing layers are written to a temporary file, compressed; larger ones go through a pipe as they are.
SMALL_BYTES = 50_000_000


class Images:
    """The image store behind one containerd socket."""

    def __init__(self, socket: Path) -> None:
        self._ctr = ["ctr", "--address", str(socket), "--namespace", "k8s.io"]

    def names(self) -> list[str]:
        """The names of the images that pods can use."""
        return self._names_of("")

    def load(self, image: str | Path) -> list[str]:
        """Imports a Docker or OCI archive, or an image that buildah has built here; returns its names.

        Nothing is imported when the same content is there under the same name already.
        """
        if Path(image).is_file():
            return self._load_archive(Path(image))
        return self._load_from_buildah(str(image))

    def load_program(self, program: Path, name: str) -> None:
        """Imports an image that holds nothing but one static program."""
        archive = single_program_image(program, name)
        source = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        if name in self._names_of(source):
            return
        with tempfile.TemporaryFile() as stream:
            stream.write(archive)
            stream.seek(0)
            self._import(stream, source)

    def remove(self, *names: str) -> None:
        """Takes images away; a name that is not there is no error."""
        run(*self._ctr, "images", "remove", *names)
        self._remove_unnamed()

    def _load_archive(self, path: Path) -> list[str]:
        with path.open("rb") as stream:
            source = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
            there = self._names_of(source)
            if there:
                return _already_there(there)
            stream.seek(0)
            return self._import(stream, source)

    def _load_from_buildah(self, image: str) -> list[str]:
        digest, name = _find_in_buildah(image)
        source = f"buildah:{digest}"
        if name in self._names_of(source):
            return _already_there([name])
        present = set(run(*self._ctr, "content", "list", "--quiet").split())
        if layers.missing_bytes(digest, present) <= SMALL_BYTES:
            with layers.archive_of_missing(digest, name, present) as stream:
                return self._import(stream, source)
        # Through a pipe: an archive of a trainer image would be gigabytes of temporary file.
        push = ["buildah", "push", "--quiet", digest, f"docker-archive:/dev/stdout:{name}"]
        with subprocess.Popen(push, stdout=subprocess.PIPE, env=clean_environment()) as process:
            names = self._import(process.stdout, source)
        if process.returncode:
            raise ClusterError(f"`{' '.join(push)}` failed ({process.returncode}); its output is above")
        return names

    def _import(self, stream: IO[bytes] | None, source: str) -> list[str]:
        output = run(*self._ctr, "images", "import", "-", stdin=stream)
        names = re.findall(r"^unpacking (\S+)", output, re.MULTILINE)
        if not names:
            raise ClusterError(f"containerd imported nothing, the archive names no image: {output.strip()}")
        for name in names:
            run(*self._ctr, "images", "label", name, f"{SOURCE_LABEL}={source}")
        self._remove_unnamed()
        return names

    def _remove_unnamed(self) -> None:
        """Drops what a name has stood for before: containerd keeps it under its id for ever, and disks fill up."""
        rows = [line.split() for line in run(*self._ctr, "images", "list").splitlines()[1:]]
        digests = {row[0]: row[2] for row in rows}
        named = {digest for name, digest in digests.items() if not name.startswith("sha256:")}
        unnamed = [name for name, digest in digests.items() if digest not in named]
        if unnamed:
            run(*self._ctr, "images", "remove", *unnamed)

    def _names_of(self, source: str) -> list[str]:
        filters = [f'labels."{SOURCE_LABEL}"=={source}'] if source else []
        return run(*self._ctr, "images", "list", "--quiet", *filters).split()


def single_program_image(program: Path, name: str) -> bytes:
    """A Docker archive, the same bytes each time, of an image whose only file is its entry point."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        _add(archive, program.name, program.read_bytes(), 0o755)
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": NOBODY},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    config_bytes = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(config_bytes).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        _add(archive, "layer.tar", layer.getvalue())
        _add(archive, config_name, config_bytes)
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    return out.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def _find_in_buildah(image: str) -> tuple[str, str]:
    """The id and the full name (`localhost/…:latest`) of an image of this machine."""
    listed = json.loads(run("buildah", "images", "--json", image))
    if len(listed) != 1 or not listed[0].get("names"):
        raise ClusterError(f"{image!r} is neither an archive nor the one name of an image that buildah has here")
    return listed[0]["id"], next((name for name in listed[0]["names"] if image in name), listed[0]["names"][0])


def _already_there(names: list[str]) -> list[str]:
    print(f"{', '.join(names)}: the same content is there already, not imported", file=sys.stderr)
    return names
