"""The GPUs that jobs can get, as far as this process can see them. Reads only; reserves nothing.

On one machine the driver's own tool is asked. On a cluster the GPUs are on other machines, and the facade may not look
at nodes: then nobody can say, which is another answer than "none".
"""

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

_FIELDS = (
    "index",
    "name",
    "memory.total",
    "memory.free",
    "memory.used",
    "utilization.gpu",
    "temperature.gpu",
    "power.draw",
    "compute_cap",
)
_MIB = 1024 * 1024
_ANSWER_SECONDS = 10.0
_FRESH_SECONDS = 1.0


@dataclass(frozen=True)
class GpuView:
    """One GPU; None where a sensor is missing."""

    index: int
    name: str
    memory_total_bytes: int
    memory_free_bytes: int
    memory_used_bytes: int
    utilization_percent: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    compute_capability: str | None = None
    """For example `8.9`."""


class Gpus(Protocol):
    """Whoever knows the GPUs."""

    @property
    def are_local(self) -> bool:
        """Jobs run on the GPUs of this machine, and can be given certain ones."""
        ...

    async def all(self) -> list[GpuView] | None:
        """In order of index; None if nobody can say which there are."""
        ...


class UnknownGpus:
    """Those of other machines."""

    are_local = False

    async def all(self) -> list[GpuView] | None:
        """Nobody can say."""
        return None


class LocalGpus:
    """Those of this machine; none without NVIDIA's driver."""

    are_local = True

    def __init__(
        self,
        find_tool: Callable[[], str | None] = lambda: shutil.which("nvidia-smi"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find_tool, self._monotonic = find_tool, monotonic
        self._turn = asyncio.Lock()
        self._known: list[GpuView] = []
        self._read_at = float("-inf")

    async def all(self) -> list[GpuView] | None:
        """As they are now, or were a moment ago: several callers at once ask the driver once."""
        async with self._turn:
            if self._monotonic() - self._read_at > _FRESH_SECONDS:
                self._known, self._read_at = await self._read(), self._monotonic()
            return self._known

    async def _read(self) -> list[GpuView]:
        tool = self._find_tool()
        if tool is None:
            return []
        process = await asyncio.create_subprocess_exec(
            *(tool, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            return []
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return parse_gpus(output.decode("utf-8", "replace")) if process.returncode == 0 else []


def parse_gpus(text: str) -> list[GpuView]:
    """What the tool says, one GPU a line; lines that say something else are left out."""
    found = (_parse([field.strip() for field in line.split(",")]) for line in text.splitlines())
    return sorted((gpu for gpu in found if gpu is not None), key=lambda gpu: gpu.index)


def _parse(fields: list[str]) -> GpuView | None:
    if len(fields) != len(_FIELDS):
        return None
    index, name, total, free, used, utilization, temperature, power, capability = fields
    try:
        number = int(index)
        total_bytes, free_bytes, used_bytes = (round(float(value) * _MIB) for value in (total, free, used))
    except ValueError:
        return None
    return GpuView(
        number,
        name,
        total_bytes,
        free_bytes,
        used_bytes,
        utilization_percent=_number(utilization),
        temperature_celsius=_number(temperature),
        power_watts=_number(power),
        compute_capability=capability if _number(capability) is not None else None,
    )


def _number(text: str) -> float | None:
    """A sensor that is missing reads `[N/A]`, or another word in brackets."""
    try:
        return float(text)
    except ValueError:
        return None
