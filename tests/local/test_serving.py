"""`fettle up` serves adapters by itself: its engine is there while one is loaded."""

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from fettle_client.protocol import ADAPTERS
from fettle_local.store import LocalClient
from tests.support.engine_process import build_tiny_adapters, wait_until
from tests.support.local_home import make_home, running_up
from tests.support.process_tree import descendants, is_alive
from tests.support.tiny_model import build_tiny_model

pytestmark = [pytest.mark.trainer, pytest.mark.timeout(600)]

QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "show pods"}], "max_tokens": 12, "temperature": 0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two base models, and on each an Adapter whose files lie in the workspace."""
    directory = tmp_path_factory.mktemp("serving")
    home = make_home(directory / "home", build_tiny_model(directory / "tiny"))
    shutil.copytree(build_tiny_model(directory / "other", seed=1), home / "workspace/models/other")
    for adapter, base in (("red", "models/tiny"), ("blue", "models/other")):
        files = build_tiny_adapters(directory / base, home / "workspace" / base) / adapter
        config = json.loads((files / "adapter_config.json").read_text())
        (files / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": base}))
        shutil.copytree(files, home / f"workspace/uploads/{adapter}")
    asyncio.run(register(home, {"red": "models/tiny", "blue": "models/other"}))
    return home


async def register(home: Path, bases: dict[str, str]) -> None:
    """As `kubectl apply` does it: the operator has the files read, and gives them their place."""
    client = LocalClient(home / "store.db")
    for name, base in bases.items():
        spec = {"baseModel": {"id": base}, "source": {"workspace": {"path": f"uploads/{name}"}}}
        metadata = {"name": name, "namespace": "default"}
        await client.create(
            ADAPTERS, {"apiVersion": ADAPTERS.api_version, "kind": ADAPTERS.kind, "metadata": metadata, "spec": spec}
        )
    await client.close()


def wait_for(adapter: str, urls: dict[str, str]) -> None:
    address = f"{urls['qlora']}/api/adapters/{adapter}"
    wait_until(lambda: httpx.get(address).status_code == 200, lambda: httpx.get(address).text, within_seconds=300)


def engines(home: Path) -> list[int]:
    """Serving engines that `fettle up` of this home has started."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"fettle_trainer.serve" in command and str(home).encode() in command and is_alive(pid):
            found.append(pid)
    return found


def post(url: str) -> httpx.Response:
    return httpx.post(url, timeout=300)


def test_an_adapter_that_is_loaded_answers_and_the_engine_goes_with_the_last_one(home: Path) -> None:
    with running_up(home, "qlora") as urls:
        for adapter in ("red", "blue"):
            wait_for(adapter, urls)
        client = openai.OpenAI(base_url=f"{urls['main']}/v1", api_key="none", max_retries=0, timeout=300)
        with pytest.raises(openai.BadRequestError, match="not loaded"):
            client.chat.completions.create(model="red", **QUESTION)
        assert engines(home) == []

        assert post(f"{urls['qlora']}/api/adapters/red/load").status_code == 200
        (first,) = engines(home)
        red = client.chat.completions.create(model="red", **QUESTION)
        assert red.choices[0].message.content
        streamed = list(client.chat.completions.create(model="red", stream=True, **QUESTION))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
        assert text == red.choices[0].message.content

        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not is_alive(first), lambda: "the engine has not died")
        again = client.chat.completions.create(model="red", **QUESTION)
        assert again.choices[0].message.content == red.choices[0].message.content

        assert post(f"{urls['qlora']}/api/adapters/blue/load").status_code == 200
        (other,) = engines(home)
        assert b"models/other" in Path(f"/proc/{other}/cmdline").read_bytes()
        blue = client.chat.completions.create(model="blue", **QUESTION)
        assert blue.choices[0].message.content != red.choices[0].message.content

        assert post(f"{urls['qlora']}/api/adapters/unload").status_code == 200
        wait_until(lambda: engines(home) == [], lambda: "the engine is there without an adapter")
        assert post(f"{urls['qlora']}/api/adapters/red/load").status_code == 200
    assert engines(home) == []


@pytest.mark.slow
def test_what_cannot_be_served_is_refused_in_words(home: Path) -> None:
    with running_up(home, "qlora") as urls:
        for adapter in ("red", "blue"):
            wait_for(adapter, urls)
        shutil.rmtree(home / "workspace/models/other")
        answer = post(f"{urls['qlora']}/api/adapters/blue/load")
        assert answer.status_code in (400, 502)
        assert "models/other" in answer.text
        (home / "workspace/models/tiny/model.safetensors").write_bytes(b"no weights")
        answer = post(f"{urls['qlora']}/api/adapters/red/load")
        assert answer.status_code in (400, 502)
        assert "the serving engine ended" in answer.text
    assert engines(home) == []
