"""The real Ollama, built from its Go module into the cache (once, in minutes), and started on a free port.

It needs a C++ compiler and two of Debian's header packages, which are installed if they can be.
"""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.cluster.build import BuildError, cache_path, find_go, install_go
from tests.support.polling import eventually

VERSION = "v0.17.4"
"""The last line that converts adapters."""
PACKAGES = {
    "/usr/include/nlohmann/json.hpp": "nlohmann-json3-dev",
    "/usr/include/stb/stb_image.h": "libstb-dev",
}
_INCLUDES = (Path(__file__).parent / "ollama_include", Path("/usr/include/stb"))
_FLAGS = "-O3 -march=x86-64-v3"
"""Without them a small model makes one token a second instead of eighty."""


def missing_for_ollama() -> list[str]:
    """Reasons why it cannot be built here, as sentences; empty if it can."""
    if _program().is_file():
        return []
    can_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    reasons = [] if shutil.which("g++") else ["Ollama is built with g++, which is not in PATH"]
    if not can_install:
        reasons += [f"{path} is missing: install {name}" for path, name in PACKAGES.items() if not Path(path).exists()]
    return reasons


def build_ollama() -> Path:
    """The program, built now unless it is there."""
    program = _program()
    if program.is_file():
        return program
    _install_headers()
    staging = program.parent.parent / f".{VERSION}-{os.getpid()}"
    staging.mkdir(parents=True)
    try:
        _compile(staging)
        program.parent.mkdir(exist_ok=True)
        (staging / "ollama").rename(program)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return program


@asynccontextmanager
async def ollama_server(home: Path) -> AsyncIterator[str]:
    """Its URL; models are kept in `home`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    variables = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(home / "models"),
        "OLLAMA_LOAD_TIMEOUT": "10m",
    }
    with (home / "ollama.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(build_ollama(), "serve", env=variables, stdout=log, stderr=log)
    try:
        await eventually(lambda: _answers(url), "Ollama answers", 60)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as caller:
            return (await caller.get(f"{url}/api/version")).is_success
    except httpx.TransportError:
        return False


def _program() -> Path:
    return cache_path() / "ollama" / VERSION / "ollama"


def _install_headers() -> None:
    absent = [name for path, name in PACKAGES.items() if not Path(path).exists()]
    if not absent:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *absent]):
        subprocess.run(["apt-get", "--quiet", *arguments], check=True, env=environment, stdin=subprocess.DEVNULL)


def _compile(staging: Path) -> None:
    environment = {
        **os.environ,
        "GOBIN": str(staging),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "1",
        "CGO_CFLAGS": _FLAGS,
        "CGO_CXXFLAGS": _FLAGS,
        "CPLUS_INCLUDE_PATH": os.pathsep.join(map(str, _INCLUDES)),
    }
    command = [str(find_go() or install_go()), "install", "-trimpath", "-ldflags", "-s -w"]
    finished = subprocess.run([*command, f"github.com/ollama/ollama@{VERSION}"], cwd=staging, env=environment)
    if finished.returncode:
        raise BuildError(f"Ollama {VERSION} could not be built; its output is above")
