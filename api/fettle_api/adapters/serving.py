"""Use cases of adapters that answer: load, unload, which are loaded, chat. No HTTP of callers, no dialect.

Loading is a change of the Adapter: `spec.serving.load`. Where the installation names a serving engine the engine is
asked at once too, and what it lists is the truth. Without one, the operator looks after the engines and goes by the
Adapter, whose status says which pods have it: a chat goes to one of those.
"""

import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fettle_api.adapters.current import CurrentAdapter
from fettle_api.adapters.engine import Engine, EngineAnswer, ServingEngine
from fettle_api.adapters.registry import Adapters
from fettle_api.adapters.views import AdapterView
from fettle_api.errors import (
    AdapterNotFoundError,
    EngineRefusedError,
    EngineUnavailableError,
    NoEngineError,
    NothingLoadedError,
)
from fettle_api.settings import ApiSettings
from fettle_client.protocol import ResourceClient

_logger = logging.getLogger(__name__)


class Serving:
    """Adapters of one namespace, and its engine if there is one."""

    def __init__(
        self,
        adapters: Adapters,
        current: CurrentAdapter,
        engine: Engine | None,
        engine_workspace: Path,
        pod_key: str | None = None,
    ) -> None:
        self._adapters, self._current, self._engine = adapters, current, engine
        self._engine_workspace, self._pod_key = engine_workspace, pod_key

    async def loaded(self) -> frozenset[str]:
        """Names of the Adapters that answer; none while the engine cannot be asked."""
        adapters = await self._adapters.all()
        if self._engine is None:
            return frozenset(adapter.name for adapter in adapters if _is_said_to_be_loaded(adapter))
        try:
            served = await self._engine.adapters()
        except EngineUnavailableError as error:
            _logger.warning("the serving engine cannot be asked", extra={"error": str(error)})
            return frozenset()
        return frozenset(adapter.name for adapter in adapters if self._is_served(adapter, served))

    async def current(self) -> AdapterView | None:
        """The one that was loaded last and not unloaded since, whether or not the engine still has it."""
        name = await self._current.get()
        if name is None:
            return None
        try:
            return await self._adapters.get(name)
        except AdapterNotFoundError:
            return None

    async def load(self, name: str) -> AdapterView:
        """Load it and make it the current one; the one before is unloaded. The same again is no error.

        Raises AdapterNotFoundError, EngineRefusedError, EngineUnavailableError.
        """
        adapter = await self._adapters.get(name)
        if not await self._adapters.has_files(adapter):
            raise EngineRefusedError(f"the files of adapter {name!r} are not there")
        await self._load_into_engine(adapter)
        adapter = await self._adapters.ask_for_loading(name, True)
        before = await self.current()
        await self._current.put(name)
        if before is not None and before.name != name:
            await self._withdraw(before)
        return adapter

    async def unload(self) -> AdapterView:
        """Unload the current one. Raises NothingLoadedError, EngineUnavailableError."""
        adapter = await self.current()
        if adapter is None:
            raise NothingLoadedError("no adapter is loaded")
        await self._withdraw(adapter)
        await self._current.put(None)
        return adapter

    async def delete(self, name: str) -> None:
        """Delete an Adapter with its files; one that is loaded is unloaded first.

        Raises AdapterNotFoundError, EngineUnavailableError.
        """
        adapter = await self._adapters.get(name)
        await self._withdraw(adapter)
        if await self._current.get() == name:
            await self._current.put(None)
        await self._adapters.delete(name)

    @asynccontextmanager
    async def chat(self, adapter: AdapterView, body: Mapping[str, Any]) -> AsyncIterator[EngineAnswer]:
        """What the engine answers with this adapter, whatever `model` the body names.

        An engine that has forgotten the adapter (it was started anew), or does not run, gets it again.

        Raises NoEngineError, EngineRefusedError, EngineUnavailableError.
        """
        request = {**body, "model": adapter.served_name}
        async with AsyncExitStack() as stack:
            answer = await self._ask_pods(adapter, request, stack)
            if answer is None and self._engine is None:
                raise NoEngineError(
                    "no engine has the adapter: set spec.serving.load of the Adapter and see its status, or name an "
                    "engine by FETTLE_API_ENGINE_URL"
                )
            if answer is None and self._engine is not None:
                answer = await self._ask_engine(self._engine, request, stack)
                if answer is None:
                    await self._load_into_engine(adapter)
                    answer = await stack.enter_async_context(self._engine.chat(request))
            assert answer is not None, "an engine answered, or an error was raised"
            yield answer

    async def _ask_engine(
        self, engine: Engine, request: Mapping[str, Any], stack: AsyncExitStack
    ) -> EngineAnswer | None:
        """Its answer; None if it does not have the adapter, or does not run (any more)."""
        if not engine.is_running:
            return None
        try:
            answer = await stack.enter_async_context(engine.chat(request))
        except EngineUnavailableError:
            if engine.is_running:
                raise
            return None
        if answer.status != 404:
            return answer
        await stack.aclose()
        return None

    async def _ask_pods(
        self, adapter: AdapterView, request: Mapping[str, Any], stack: AsyncExitStack
    ) -> EngineAnswer | None:
        """The answer of a pod that the operator has seen with this version; None if none of them gives one."""
        urls = adapter.urls_with(self._path(adapter))
        for url in random.sample(urls, len(urls)):
            try:
                answer = await stack.enter_async_context(ServingEngine(url, self._pod_key).chat(request))
            except EngineUnavailableError as error:
                _logger.warning("an engine pod cannot be asked", extra={"url": url, "error": str(error)})
                continue
            if answer.status != 404:
                return answer
            await stack.aclose()
        return None

    async def _load_into_engine(self, adapter: AdapterView) -> None:
        """An older version under the same name is replaced: the paths of versions differ."""
        if self._engine is None:
            return
        served = await self._engine.adapters()
        if self._is_served(adapter, served):
            return
        if adapter.served_name in served:
            await self._engine.unload(adapter.served_name)
        try:
            await self._engine.load(adapter.served_name, self._path(adapter))
        except EngineRefusedError:
            if self._is_served(adapter, await self._engine.adapters()):
                return  # somebody else has loaded it meanwhile
            raise
        if not self._is_served(adapter, await self._engine.adapters()):
            raise EngineUnavailableError(f"the serving engine does not list adapter {adapter.served_name!r}")

    async def _withdraw(self, adapter: AdapterView) -> None:
        if self._engine is not None and adapter.served_name in await self._engine.adapters():
            await self._engine.unload(adapter.served_name)
        await self._adapters.ask_for_loading(adapter.name, False)

    def _is_served(self, adapter: AdapterView, served: Mapping[str, str]) -> bool:
        return adapter.path is not None and served.get(adapter.served_name) == self._path(adapter)

    def _path(self, adapter: AdapterView) -> str:
        return str(self._engine_workspace / (adapter.path or ""))


def build_serving(
    settings: ApiSettings, client: ResourceClient, adapters: Adapters, workspace: Path, engine: Engine | None
) -> Serving:
    """The use cases with `engine`, or the one that the settings name. Raises OSError for a key file that cannot be
    read."""
    key = settings.engine_key_file.read_text().strip() if settings.engine_key_file else None
    if engine is None and settings.engine_url is not None:
        engine = ServingEngine(settings.engine_url, key)
    engine_workspace = settings.engine_workspace or workspace.absolute()
    return Serving(adapters, CurrentAdapter(client, settings.namespace), engine, engine_workspace, key)


def _is_said_to_be_loaded(adapter: AdapterView) -> bool:
    seen = adapter.is_loaded_by_operator
    return adapter.spec.serving.load if seen is None else seen
