"""Each `<dialect>.yaml` here is a published document as a table of calls; all of them are made, in process."""

from pathlib import Path
from typing import Any

import pytest

from tests.dialects.runner import load_table, run_case
from tests.support.dialect_world import InProcessWorld
from tests.support.facade import running_facade

TABLES = {path.stem: load_table(path) for path in sorted(Path(__file__).parent.glob("*.yaml"))}
CASES = [
    pytest.param(dialect, case, id=f"{dialect}: {case['name']}")
    for dialect, table in TABLES.items()
    for case in table["cases"]
]


@pytest.mark.parametrize("client", ["memory", pytest.param("local", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("dialect", "case"), CASES)
async def test_the_documented_call_is_answered(dialect: str, case: dict[str, Any], client: str, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    async with running_facade(root, client, **case.get("settings", {})) as facade:
        await run_case(InProcessWorld(facade), dialect, TABLES[dialect], case)
