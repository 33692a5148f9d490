"""`python images/build.py [operator|api|trainer|all]`: builds our images with buildah, without an image registry.

The slow stage of each Dockerfile, the dependencies, is kept as an image of its own, named after what it is made from;
the last stage, our packages, takes seconds. An image whose name exists is not built again: names change with content.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = 2
"""How many images of one repository are kept: the newest ones. The trainer's dependencies are gigabytes."""

DEBIAN_SUITE = "bookworm"
DEBIAN_PACKAGES = ("ca-certificates", "coreutils", "dash", "libstdc++6", "python3", "python3-venv", "tzdata")
# mmdebstrap extracts the packages and runs none of their scripts; this is what we need of those.
BASE_HOOK = """
set -eu; cd "$1"
cat usr/share/ca-certificates/mozilla/*.crt > etc/ssl/certs/ca-certificates.crt
printf 'root:x:0:0:root:/root:/bin/sh\\nfettle:x:65532:65532:fettle:/tmp:/bin/sh\\n' > etc/passwd
printf 'root:x:0:\\nfettle:x:65532:\\n' > etc/group
printf 'hosts: files dns\\n' > etc/nsswitch.conf
rm -rf usr/share/doc usr/share/man usr/share/info usr/share/locale etc/resolv.conf etc/hostname var/lib/apt var/cache
mkdir -p root tmp run proc sys workspace etc/fettle && chmod 1777 tmp
"""


class ImageError(RuntimeError):
    """An image could not be built."""


@dataclass(frozen=True)
class Part:
    """One image of ours."""

    dockerfile: str
    extra: str
    packages: tuple[str, ...]


PARTS = {
    "operator": Part(
        "operator/Dockerfile", "operator", ("crds/fettle_schema", "crds/fettle_client", "operator/fettle_operator")
    ),
    "api": Part(
        "api/Dockerfile",
        "api",
        ("crds/fettle_schema", "crds/fettle_client", "trainer_image/fettle_data", "api/fettle_api"),
    ),
    "trainer": Part(
        "trainer_image/Dockerfile",
        "trainer",
        ("crds/fettle_schema", "trainer_image/fettle_data", "trainer_image/fettle_trainer"),
    ),
}
PASSED_ON = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT"),
)
"""Variables by which this machine reaches a package index; a build gets them as a secret."""
CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def build(name: str, torch_variant: str = "cpu") -> str:
    """Build one part, unless it is there; the full name of the image."""
    part = PARTS[name]
    with _one_build_at_a_time():
        dependencies = _build_dependencies(name, part, torch_variant)
        image = f"localhost/fettle-{name}:{_digest(dependencies, *_package_files(part), _dockerfile(part)[1])}"
        if not _exists(image):
            _buildah_build(part, image, "--build-arg", f"DEPENDENCIES={dependencies}")
            _forget_old(f"localhost/fettle-{name}", keep=image)
    return image


def _build_dependencies(name: str, part: Part, torch_variant: str) -> str:
    base = _build_base()
    stage = _dockerfile(part)[0]
    variant = torch_variant if name == "trainer" else ""
    image = f"localhost/fettle-{name}-dependencies:{_digest(base, variant, stage, _locked(part.extra))}"
    if _exists(image):
        return image
    _say(f"building the dependencies of the {name} image, once for each lock file")
    arguments = ["--target", "dependencies", "--build-arg", f"BASE_IMAGE={base}"]
    if variant:
        arguments += ["--build-arg", f"TORCH_VARIANT={variant}"]
    with _host_environment() as environment:
        _buildah_build(part, image, *arguments, *environment)
    _forget_old(f"localhost/fettle-{name}-dependencies", keep=image)
    return image


def _build_base() -> str:
    """A Debian with Python and a shell, from Debian's packages."""
    image = f"localhost/fettle-base:{_digest(DEBIAN_SUITE, *DEBIAN_PACKAGES, BASE_HOOK)}"
    if _exists(image):
        return image
    _say("building the base image from Debian's packages")
    with tempfile.TemporaryDirectory() as folder:
        hook, archive = Path(folder, "hook"), Path(folder, "base.tar")
        hook.write_text(f"#!/bin/sh{BASE_HOOK}")
        hook.chmod(0o755)
        include = f"--include={','.join(DEBIAN_PACKAGES)}"
        _run("mmdebstrap", "--quiet", "--variant=extract", include, f"--customize-hook={hook}", DEBIAN_SUITE, archive)
        container = _run("buildah", "from", "scratch").strip()
        _run("buildah", "add", "--quiet", container, archive, "/")
        _run("buildah", "commit", "--quiet", "--rm", container, image)
    return image


def _buildah_build(part: Part, image: str, *arguments: str) -> None:
    """Without layers: a stage is one layer. In a chroot, because builds run where containers cannot."""
    started = time.monotonic()
    options = ("--quiet", "--layers=false", "--isolation", "chroot", "--network", "host", "--format", "oci")
    _run("buildah", "build", *options, "--file", ROOT / part.dockerfile, "--tag", image, *arguments, ROOT)
    _say(f"{image}: built in {time.monotonic() - started:.0f} s")


@contextmanager
def _host_environment() -> Iterator[list[str]]:
    """Options that lend a build this machine's way to the package index, and its cache, and leave nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        options = []
        certificates = Path(os.environ.get("SSL_CERT_FILE") or SYSTEM_CERTIFICATES)
        if certificates.is_file():
            options += ["--secret", f"id=certificates,src={certificates}"]
            variables |= dict.fromkeys(CERTIFICATES, "/run/secrets/certificates")
        variables["UV_CACHE_DIR"] = "/run/uv-cache"
        cache = Path(_run(_uv(), "cache", "dir").strip())
        cache.mkdir(parents=True, exist_ok=True)
        options += ["--volume", f"{cache}:/run/uv-cache"]
        script = Path(folder, "environment")
        script.touch(0o600)
        script.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
        yield [*options, "--secret", f"id=environment,src={script}"]


@contextmanager
def _one_build_at_a_time() -> Iterator[None]:
    """Two checkouts that need the same dependencies build them once."""
    with Path(tempfile.gettempdir(), "fettle-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _dockerfile(part: Part) -> tuple[str, str]:
    """The text before the last stage, and the last stage."""
    stages, _, last = (ROOT / part.dockerfile).read_text().rpartition("\nFROM ")
    return stages, last


def _locked(extra: str) -> str:
    """The packages and digests that the lock file gives for an extra: other extras may change without a rebuild."""
    options = ("--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate")
    return _run(_uv(), "export", *options, "--extra", extra)


def _package_files(part: Part) -> Iterator[str]:
    for package in part.packages:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()
                yield hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _exists(image: str) -> bool:
    return bool(_run("buildah", "images", "--quiet", "--filter", f"reference={image}").strip())


def _size_bytes(image: str) -> int:
    manifest = json.loads(json.loads(_run("buildah", "inspect", "--type=image", image))["Manifest"])
    return sum(layer["size"] for layer in manifest["layers"])


def _forget_old(repository: str, keep: str) -> None:
    """Remove all but the newest images of a repository."""
    listed = json.loads(_run("buildah", "images", "--json"))
    named = [(image["createdatraw"], name) for image in listed for name in image.get("names") or ()]
    ours = sorted((created, name) for created, name in named if name.startswith(f"{repository}:") and name != keep)
    for _, name in ours[: max(0, len(ours) + 1 - KEPT)]:
        _run("buildah", "rmi", name)


def _uv() -> str:
    """uv from PATH, else the one that the Makefile has installed."""
    cache = Path(os.environ.get("FETTLE_CACHE") or Path.home() / ".cache" / "fettle")
    found = shutil.which("uv") or shutil.which(cache / "uv" / "bin" / "uv")
    if found is None:
        raise ImageError("uv is missing: `make install` installs it")
    return found


def _run(*argv: str | Path) -> str:
    try:
        finished = subprocess.run([str(part) for part in argv], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    except FileNotFoundError as error:
        raise ImageError(f"{argv[0]} is missing: `python -m tests.cluster install` installs it") from error
    if finished.returncode:
        raise ImageError(f"`{' '.join(str(part) for part in argv[:2])}` failed; its output is above")
    return finished.stdout


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Build what the command line names and print the names of the images."""
    parser = argparse.ArgumentParser(description="Builds the images of Fettle.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "all"], default="all", metavar="|".join([*PARTS, "all"]))
    parser.add_argument("--torch", choices=("cpu", "cuda"), default="cpu", help="cpu leaves out what a GPU needs")
    options = parser.parse_args()
    try:
        for name in PARTS if "all" in options.parts else options.parts:
            image = build(name, options.torch)
            _say(f"{name}: {_size_bytes(image) / 1e6:,.0f} MB")
            print(image)
    except ImageError as error:
        sys.exit(f"images: {error}")


if __name__ == "__main__":
    main()
