"""OpenAI's own client against a facade that listens on a port."""

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from fettle_api.app import create_app
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.server import Servers
from fettle_api.settings import ApiSettings
from tests.support.engine_stand_in import KEY as ENGINE_KEY
from tests.support.engine_stand_in import EngineStandIn, engine_stand_in
from tests.support.facade import NAMESPACE, Facade, ReviewingClient
from tests.support.openai_caller import OpenAIWorld

KEY = "k" * 32


@pytest.fixture
async def engine() -> AsyncIterator[EngineStandIn]:
    async with engine_stand_in() as running:
        yield running


@pytest.fixture
async def world(tmp_path: Path, engine: EngineStandIn) -> AsyncIterator[OpenAIWorld]:
    root, key_file = tmp_path / "workspace", tmp_path / "key"
    root.mkdir()
    key_file.write_text(KEY)
    engine_key_file = tmp_path / "engine-key"
    engine_key_file.write_text(ENGINE_KEY)
    settings = ApiSettings(
        namespace=NAMESPACE,
        workspace=root,
        port=0,
        dialect_ports={},
        default_gpus=0,
        engine_url=engine.url,
        engine_key_file=engine_key_file,
        authentication="apikey",
        api_key_file=key_file,
        model_aliases={"gpt-4o-mini": "HuggingFaceTB/SmolLM2-135M-Instruct"},
    )
    client = ReviewingClient()
    app = create_app(settings, client, root, WorkspaceLogs(Workspace(root)))
    servers = Servers(app, settings)
    await servers.start()
    url = f"http://127.0.0.1:{servers.ports['main']}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as caller:
        yield OpenAIWorld(Facade(app, client, root), caller, url)
    await servers.stop()
    await client.close()
