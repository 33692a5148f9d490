"""The edge to what samples call: bash, Python, node, HTTP and WebSockets."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import websockets

from tests.documents.answers import CURLRC, Answer
from tests.documents.machine import MachineError

_SAMPLE_SECONDS = 240.0
_CALL_SECONDS = 60.0
_LISTENING = Path(__file__).parent / "listening"
_LAST_MESSAGES = ("completed", "error")


class SampleError(Exception):
    """A sample that did not run to its end."""


async def run_bash(text: str, directory: Path) -> str:
    """What a sample prints, which must succeed; curl tells its statuses."""
    (directory / ".curlrc").write_text(CURLRC)
    return await _run(["bash", "-e", "-o", "pipefail", "-c", text], directory, CURL_HOME=str(directory))


async def run_python(text: str, directory: Path) -> tuple[str, list[str]]:
    """What a sample prints, which must succeed, and the answers that it got: `POST /train 422`."""
    script, answers = _file(text, directory, ".py"), Path(_file("", directory, ".answers"))
    variables = {"PYTHONPATH": str(_LISTENING), "FETTLE_DOCUMENTS_ANSWERS": str(answers)}
    output = await _run([sys.executable, "-u", script], directory, **variables)
    return output, (await asyncio.to_thread(answers.read_text)).splitlines()


async def run_node(text: str, directory: Path) -> str:
    """The same of JavaScript."""
    return await _run([node(), "--experimental-websocket", _file(text, directory, ".js")], directory)


def node() -> str:
    """Raises MachineError where there is none."""
    found = shutil.which("node")
    if found is None:
        raise MachineError("node is missing: Merlina's document has JavaScript in it. Install nodejs, 20 or newer")
    return found


async def send(method: str, url: str, content: bytes | None) -> Answer:
    """One request, with a JSON type if it has a body."""
    headers = {} if content is None else {"Content-Type": "application/json"}
    async with httpx.AsyncClient(timeout=_CALL_SECONDS, trust_env=False) as client:
        answer = await client.request(method, url, content=content, headers=headers)
    return Answer(method, url, answer.status_code, answer.text)


async def follow(url: str) -> list[dict[str, Any]]:
    """What a WebSocket says, from a greeting to its last message."""
    said: list[dict[str, Any]] = []
    async with asyncio.timeout(_SAMPLE_SECONDS), websockets.connect(url, proxy=None) as socket:
        await socket.send("hello")
        async for text in socket:
            said.append(json.loads(text))
            if said[-1]["type"] in _LAST_MESSAGES:
                break
    return said


def _file(text: str, directory: Path, suffix: str) -> str:
    descriptor, name = tempfile.mkstemp(suffix, "sample-", directory)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return name


async def _run(command: list[str], directory: Path, **variables: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env=os.environ | {"NO_PROXY": "localhost", "no_proxy": "localhost"} | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_SAMPLE_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8", "replace")
    if process.returncode:
        raise SampleError(f"ended with {process.returncode}: …{text[-1000:]}")
    return text
