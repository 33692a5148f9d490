"""The tables of the dialects once more, over a real API server."""

from pathlib import Path
from typing import Any

import pytest

from fettle_client.kubernetes import KubernetesClient
from tests.dialects.runner import run_case
from tests.dialects.test_tables import CASES, TABLES
from tests.support.dialect_world import InProcessWorld
from tests.support.facade import running_facade

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("dialect", "case"), CASES)
async def test_the_documented_call_is_answered(
    dialect: str, case: dict[str, Any], client: KubernetesClient, namespace: str, tmp_path: Path
) -> None:
    settings = {"namespace": namespace, **case.get("settings", {})}
    async with running_facade(tmp_path, client=client, **settings) as facade:
        await run_case(InProcessWorld(facade), dialect, TABLES[dialect], case)
