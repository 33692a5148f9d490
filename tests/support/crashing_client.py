"""A client by which the operator dies at one of its writes."""

from collections.abc import Awaitable, Callable
from typing import Any

from fettle_client.protocol import Manifest
from tests.support.memory_client import MemoryClient


class Crash(BaseException):
    """SIGKILL."""


class CrashingClient(MemoryClient):
    """Dies right after one of its writes, or right before it."""

    writes = 0
    dies_at = 0
    dies_before = False

    async def create(self, *args: Any, **options: Any) -> Manifest:
        manifest: Manifest = await self._write(super().create, *args, **options)
        return manifest

    async def replace(self, *args: Any, **options: Any) -> Manifest:
        manifest: Manifest = await self._write(super().replace, *args, **options)
        return manifest

    async def apply_status(self, *args: Any, **options: Any) -> Manifest:
        manifest: Manifest = await self._write(super().apply_status, *args, **options)
        return manifest

    async def delete(self, *args: Any, **options: Any) -> None:
        await self._write(super().delete, *args, **options)

    async def _write(self, write: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        self.writes += 1
        if self.writes == self.dies_at and self.dies_before:
            raise Crash
        answer = await write(*args, **options)
        if self.writes == self.dies_at:
            raise Crash
        return answer
