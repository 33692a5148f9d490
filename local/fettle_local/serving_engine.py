"""The serving engine of one machine: `fettle_trainer.serve` as a process, there while an adapter is loaded.

One base model at a time: an adapter of another one ends the process and starts it with that. Decides nothing about
which adapters are to be loaded; the facade's use cases do.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from fettle_api.adapters.engine import EngineAnswer, ServingEngine
from fettle_api.errors import EngineRefusedError, EngineUnavailableError
from fettle_local.answers import base_model_directory
from fettle_local.home import Home
from fettle_local.runner.pod_directory import LOCAL_THREADS
from fettle_schema.errors import FettleError
from fettle_schema.layout import ADAPTER_CONFIG_FILE, HUGGING_FACE_HOME
from fettle_trainer.child_process import die_with_parent

_START_SECONDS = 600.0
"""A model of many gigabytes is read from a slow disk."""
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1
_NOTICE_SECONDS = 1.0
"""How long after its death a process may still be counted as running."""


class LocalEngine:
    """An `Engine` of the facade. Several callers at once are no harm."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._base: Path | None = None
        self._engine = ServingEngine("http://127.0.0.1:0")
        self._changing = asyncio.Lock()

    @property
    def is_running(self) -> bool:
        """Whether the process is there; it may have been killed for want of memory."""
        return self._process is not None and self._process.returncode is None

    async def adapters(self) -> dict[str, str]:
        """What is loaded; nothing while the process is not there."""
        return await self._engine.adapters() if self.is_running else {}

    async def load(self, name: str, path: str) -> None:
        """Start the process if it is not there with the adapter's base model, and load."""
        base = await asyncio.to_thread(self._base_of, Path(path))
        async with self._changing:
            if not self.is_running or base != self._base:
                await self._stop()
                await self._start(base)
            await self._engine.load(name, path)

    async def unload(self, name: str) -> None:
        """With the last adapter the process ends, and its memory is free."""
        async with self._changing:
            if self.is_running:
                await self._engine.unload(name)
                if not await self._engine.adapters():
                    await self._stop()

    @asynccontextmanager
    async def chat(self, body: Mapping[str, Any]) -> AsyncIterator[EngineAnswer]:
        """The answer to a request. One that fails because the process was killed leaves `is_running` false."""
        try:
            async with self._engine.chat(body) as answer:
                yield answer
        except EngineUnavailableError:
            if self._process is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), _NOTICE_SECONDS)
            raise

    async def stop(self) -> None:
        """End the process."""
        async with self._changing:
            await self._stop()

    def _base_of(self, adapter: Path) -> Path:
        try:
            config = json.loads((adapter / ADAPTER_CONFIG_FILE).read_text(encoding="utf-8"))
            return base_model_directory(self._home.workspace, str(config["base_model_name_or_path"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineRefusedError(f"{ADAPTER_CONFIG_FILE} of the adapter cannot be read") from error
        except FettleError as error:
            raise EngineRefusedError(str(error)) from error

    async def _start(self, base: Path) -> None:
        self._home.serving.mkdir(exist_ok=True, mode=0o700)
        key, port, log = secrets.token_hex(16), _free_port(), self._home.serving / "log.txt"
        key_file = self._home.serving / "admin-key"
        key_file.touch(mode=0o600)
        key_file.write_text(key)
        threads = {**LOCAL_THREADS, "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
        cache = str(self._home.workspace / HUGGING_FACE_HOME)
        command = [sys.executable, "-m", "fettle_trainer.serve", "--model", str(base), "--port", str(port)]
        parent = os.getpid()
        with log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(*command, "--admin-key-file", str(key_file)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**threads, **os.environ, "HF_HOME": cache},
                start_new_session=True,  # Ctrl-C in a terminal is for the facade
                preexec_fn=lambda: die_with_parent(parent),
            )
        self._base, self._engine = base, ServingEngine(f"http://127.0.0.1:{port}", key)
        try:
            await self._wait_until_healthy(f"http://127.0.0.1:{port}/health", log)
        except BaseException:
            await self._stop()
            raise

    async def _wait_until_healthy(self, url: str, log: Path) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession(trust_env=False) as session:
                while self.is_running:
                    with suppress(aiohttp.ClientError):
                        async with session.get(url) as answer:
                            if answer.status == 200:
                                return
                    await asyncio.sleep(_POLL_SECONDS)
                raise EngineRefusedError(f"the serving engine ended: {_last_line(log)}")
        raise EngineUnavailableError(f"the serving engine did not answer within {_START_SECONDS:.0f} s; see {log}")

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"
