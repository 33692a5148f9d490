"""Which model of the namespace is active: one key of the ConfigMap `fettle-serving`. The edge to it.

One key holds one model, so there is never more than one, however many are activated at once.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import Field, ValidationError

from fettle_api.resources.models import JobView
from fettle_client.protocol import CONFIG_MAPS, AlreadyExistsError, Manifest, NotFoundError, ResourceClient
from fettle_schema.base import Model, ShortText
from fettle_schema.names import LABEL_MANAGED_BY, MANAGED_BY

CONFIG_MAP = "fettle-serving"
KEY = "active-model"


class ActiveModel(Model):
    """What the key holds."""

    training_job: ShortText
    """The TrainingJob that made the model."""
    training_job_uid: ShortText
    """Its uid: a later job of the same name made another model."""
    adapter: ShortText | None = None
    """Its Adapter, where it is one."""
    provider_model: Annotated[str, Field(min_length=1, max_length=512)]
    """The model's name where it is served, for example in Ollama."""
    activated_at: datetime
    """Since when."""

    def is_of(self, job: JobView) -> bool:
        """Whether this job made it."""
        return (self.training_job, self.training_job_uid) == (job.name, job.uid)


class Activation:
    """Reads and writes the key."""

    def __init__(self, client: ResourceClient, namespace: str, clock: Callable[[], datetime]) -> None:
        self._client, self._namespace, self._clock = client, namespace, clock

    async def get(self) -> ActiveModel | None:
        """The active model; None if there is none, or the key holds something else."""
        try:
            data = (await self._client.get(CONFIG_MAPS, CONFIG_MAP, self._namespace)).get("data") or {}
            return ActiveModel.model_validate_json(data[KEY])
        except (NotFoundError, KeyError, ValidationError):
            return None

    async def activate(self, job: JobView, provider_model: str) -> ActiveModel:
        """Make the job's model the active one, instead of whichever was."""
        active = ActiveModel(
            training_job=job.name,
            training_job_uid=job.uid,
            adapter=job.status.adapter,
            provider_model=provider_model,
            activated_at=self._clock(),
        )
        data = {"data": {KEY: active.model_dump_json(by_alias=True, exclude_none=True)}}
        try:
            await self._client.patch(CONFIG_MAPS, CONFIG_MAP, self._namespace, data)
        except NotFoundError:
            await self._create(data)
        return active

    async def _create(self, data: Manifest) -> None:
        labels = {LABEL_MANAGED_BY: MANAGED_BY}
        metadata = {"name": CONFIG_MAP, "namespace": self._namespace, "labels": labels}
        try:
            await self._client.create(
                CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **data}
            )
        except AlreadyExistsError:
            await self._client.patch(CONFIG_MAPS, CONFIG_MAP, self._namespace, data)
