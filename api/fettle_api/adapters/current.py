"""Which adapter callers have loaded last: one key of the ConfigMap `fettle-serving`. The edge to it."""

from fettle_client.protocol import CONFIG_MAPS, AlreadyExistsError, NotFoundError, ResourceClient
from fettle_schema.names import LABEL_MANAGED_BY, MANAGED_BY

CONFIG_MAP = "fettle-serving"
KEY = "current-adapter"


class CurrentAdapter:
    """Reads and writes the key: it holds one name, so there is never more than one."""

    def __init__(self, client: ResourceClient, namespace: str) -> None:
        self._client, self._namespace = client, namespace

    async def get(self) -> str | None:
        """Its name; None if there is none."""
        try:
            data = (await self._client.get(CONFIG_MAPS, CONFIG_MAP, self._namespace)).get("data") or {}
        except NotFoundError:
            return None
        return data.get(KEY) or None

    async def put(self, name: str | None) -> None:
        """This one from now on, or none."""
        data = {"data": {KEY: name}}
        try:
            await self._client.patch(CONFIG_MAPS, CONFIG_MAP, self._namespace, data)
        except NotFoundError:
            if name is not None:
                await self._create(name)

    async def _create(self, name: str) -> None:
        metadata = {"name": CONFIG_MAP, "namespace": self._namespace, "labels": {LABEL_MANAGED_BY: MANAGED_BY}}
        try:
            await self._client.create(
                CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: name}}
            )
        except AlreadyExistsError:
            await self._client.patch(CONFIG_MAPS, CONFIG_MAP, self._namespace, {"data": {KEY: name}})
