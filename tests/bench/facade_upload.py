"""`python -m tests.bench.facade_upload`: one file of a given size to a form, as it is read; how long it took.

The plan comes on standard input as JSON: `url`, `size_bytes`. The content is made on the way: no disk is read.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator

import aiohttp

_BOUNDARY = "fettle-bench-boundary"
_BLOCK_BYTES = 1024 * 1024
_TIMEOUT_SECONDS = 120.0
_HEAD = (
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="rows.jsonl"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()


def rows(size_bytes: int) -> bytes:
    """Lines of JSON, at least that much."""
    line = json.dumps({"prompt": "How do I list the pods of a namespace? " * 5, "completion": "kubectl get pods " * 10})
    return (line + "\n").encode() * (size_bytes // len(line) + 1)


async def body(size_bytes: int) -> AsyncIterator[bytes]:
    """The form, piece by piece."""
    yield _HEAD
    block = rows(_BLOCK_BYTES)[:_BLOCK_BYTES]
    for start in range(0, size_bytes, _BLOCK_BYTES):
        yield block[: size_bytes - start]
    yield _TAIL


async def upload(url: str, size_bytes: int) -> float:
    """Seconds to the answer, which must be a success."""
    headers = {
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        "Content-Length": str(len(_HEAD) + size_bytes + len(_TAIL)),
    }
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        begin = time.monotonic()
        async with session.post(url, data=body(size_bytes), headers=headers) as answer:
            text = await answer.text()
            if answer.status not in (200, 201):
                raise SystemExit(f"{answer.status} {text[:500]}")
            return time.monotonic() - begin


if __name__ == "__main__":
    plan = json.load(sys.stdin)
    print(json.dumps({"seconds": asyncio.run(upload(plan["url"], plan["size_bytes"]))}))
