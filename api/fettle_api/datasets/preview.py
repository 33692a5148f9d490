"""The first rows of a dataset, read by a process of their own with limits. Decides nothing about formats."""

import asyncio
import json
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fettle_api.datasets.preview_process import MAX_OUTPUT_BYTES
from fettle_api.datasets.views import DatasetPreview, FormattedRow, FormattedRows, ModelTemplate
from fettle_api.errors import DatasetRefusedError
from fettle_schema.dataset import DatasetSource, DatasetSpec
from fettle_schema.training_job import Method

_MODULE = "fettle_api.datasets.preview_process"
_AT_ONCE = 2
_ENVIRONMENT = {"LANG": "C.UTF-8", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
"""Nothing of the facade's own environment: it may hold a key."""


class Previews:
    """Starts the process; two at a time."""

    def __init__(self, workspace: Path, memory_bytes: int, timeout_seconds: float) -> None:
        self._workspace, self._memory_bytes, self._timeout_seconds = workspace, memory_bytes, timeout_seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def rows(self, source: DatasetSource, limit: int) -> DatasetPreview:
        """The first `limit` rows. Raises DatasetRefusedError for what cannot be read, and for hub datasets."""
        self._refuse_hub(source)
        answer = await self._ask(source, limit)
        return DatasetPreview(*(tuple(answer[key]) for key in ("columns", "rows", "formats", "findings")))

    async def formatted(
        self, dataset: DatasetSpec, method: Method | None, limit: int, model: ModelTemplate | None = None
    ) -> FormattedRows:
        """The first `limit` rows as a method trains on them; without a method as the one that they are made for.

        `model` is the base model's own template. Raises DatasetRefusedError, also where no row can be used.
        """
        self._refuse_hub(dataset.source)
        order = {
            "dataset": dataset.manifest(),
            "method": method,
            "template": None if model is None else {"text": model.text, "special_tokens": dict(model.special_tokens)},
        }
        answer = await self._ask(dataset.source, limit, order)
        examples = tuple(FormattedRow(example["texts"]) for example in answer["examples"])
        if not examples:
            raise DatasetRefusedError("; ".join(answer["findings"]) or "there are no rows")
        return FormattedRows(answer["method"], examples, tuple(answer["findings"]))

    async def count(self, source: DatasetSource) -> int:
        """All rows, of a dataset in the workspace. Raises DatasetRefusedError also for what takes too long."""
        return int((await self._ask(source, None))["count"])

    def _refuse_hub(self, source: DatasetSource) -> None:
        if source.hugging_face is not None:
            raise DatasetRefusedError(
                f"{source.hugging_face.id!r} is on the hub and is not downloaded for a preview; look at it there"
            )

    async def _ask(
        self, source: DatasetSource, limit: int | None, more: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        order = {
            **(more or {}),
            "source": source.manifest(),
            "workspace": str(self._workspace),
            "limit": limit,
            "memory_bytes": self._memory_bytes,
            "cpu_seconds": math.ceil(self._timeout_seconds / 2),
        }
        async with self._turns:
            answer: dict[str, Any] = json.loads(await self._run(json.dumps(order).encode()))
        if "error" in answer:
            raise DatasetRefusedError(f"{answer['error']} {answer['hint']}".strip())
        return answer

    async def _run(self, order: bytes) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", _MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # it may quote rows
            env=_ENVIRONMENT,
            limit=MAX_OUTPUT_BYTES,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                process.stdin.write(order)
                process.stdin.close()
                output = await process.stdout.read(MAX_OUTPUT_BYTES + 1)
                while len(output) <= MAX_OUTPUT_BYTES and (more := await process.stdout.read(MAX_OUTPUT_BYTES)):
                    output += more
                status = await process.wait() if len(output) <= MAX_OUTPUT_BYTES else 1
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            status = 1
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if status != 0:
            raise DatasetRefusedError("the first rows need more time or memory than a preview has")
        return output
