"""The table of manifests against the local store: it refuses what the API server refuses, and names the same field."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fettle_client.protocol import ADAPTERS, TRAINING_JOBS, InvalidError
from fettle_local.store import LocalClient
from tests.support.manifest_cases import CREATES, UPDATES, Case


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[LocalClient]:
    client = LocalClient(tmp_path / "store.db")
    yield client
    await client.close()


async def answer(client: LocalClient, case: Case) -> InvalidError | None:
    kind = TRAINING_JOBS if case.base == "TrainingJob" else ADAPTERS
    manifest, stored = case.manifest(), case.stored()
    try:
        if stored is None:
            await client.create(kind, manifest, dry_run=True)
        else:
            created = await client.create(kind, stored)
            manifest["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]
            await client.replace(kind, manifest)
    except InvalidError as error:
        return error
    return None


@pytest.mark.parametrize("case", [*CREATES, *UPDATES], ids=lambda case: case.name)
async def test_the_store_names_the_same_field(case: Case, client: LocalClient) -> None:
    error = await answer(client, case)
    causes = error.details["causes"] if error else []
    assert {cause["field"] for cause in causes} == ({case.path} if case.path else set())
    assert (case.allowed or "") in str(error or "")
