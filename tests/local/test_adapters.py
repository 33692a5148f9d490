"""Adapters on one machine: the same operator, and the Job that examines files is a process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fettle_client.protocol import ADAPTERS, JOBS, PODS, Manifest
from fettle_local.engine import create_engine
from fettle_local.home import Home
from fettle_local.store import LocalClient
from fettle_trainer.publish import directory_digest
from tests.support.adapter_files import write_base, write_lora
from tests.support.polling import eventually


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalClient]:
    """The store of a home whose engine runs, with a base model and an upload in its workspace."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    home = Home(tmp_path / "home", tmp_path / "cache")
    home.create()
    write_base(home.workspace / "models/tiny")
    write_lora(home.workspace / "uploads/mine", rank=8)
    client = LocalClient(home.store)
    engine = asyncio.create_task(create_engine(client, home).run())
    yield client
    engine.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await engine
    await client.close()


async def create(client: LocalClient, name: str, source: Manifest, **spec: Any) -> None:
    manifest = {"metadata": {"name": name, "namespace": "default"}}
    body = {"baseModel": {"id": "models/tiny"}, "source": source, **spec}
    await client.create(ADAPTERS, {"apiVersion": "fettle.dev/v1alpha1", "kind": "Adapter", **manifest, "spec": body})


async def reaches(client: LocalClient, name: str, phase: str) -> Manifest:
    async def status() -> Manifest:
        found = (await client.get(ADAPTERS, name, "default")).get("status") or {}
        return found if found.get("phase") == phase else {}

    return await eventually(status, f"{name} is {phase}", 60, 0.05)


async def test_files_are_registered_and_nothing_is_left_of_the_examination(client: LocalClient, tmp_path: Path) -> None:
    await create(client, "mine", {"workspace": {"path": "uploads/mine"}}, serving={"load": True})
    await create(client, "absent", {"huggingFace": {"id": "acme/absent"}})
    status = await reaches(client, "mine", "Available")
    assert (status["rank"], status["targetModules"]) == (8, ["down_proj", "q_proj"])
    assert directory_digest(tmp_path / "home/workspace" / status["path"]) == status["digest"]
    conditions = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
    assert conditions["Compatible"] == ("True", "Fits")
    assert conditions["Loaded"] == ("Unknown", "NotManaged")

    failed = await reaches(client, "absent", "Failed")
    assert (failed["reason"], "acme/absent" in failed["message"]) == ("HubUnavailable", True)

    async def is_cleared() -> bool:
        jobs = [job["metadata"]["labels"]["fettle.dev/adapter"] for job in (await client.list(JOBS, None)).items]
        return jobs == ["absent"] and len((await client.list(PODS, None)).items) == 1

    await eventually(is_cleared, "only what is looked at again later has its Job", 30, 0.05)
