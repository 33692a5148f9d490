"""The chart's README lists every value."""

import json
import sys
from pathlib import Path

import pytest

from charts import readme
from tests.unit.chart.conftest import CHART

VALUES = """
# A note that is no description.
top:
  # -- What it is for | in short.
  name: first
  list:
    # -- A whole mapping is one value.
    of: {a: 1, b: 2}
undescribed: 1
"""


def test_the_table_is_current() -> None:
    text = (CHART / "README.md").read_text()
    assert readme.with_table(text, (CHART / "values.yaml").read_text()) == text


def test_a_row_is_a_value_with_a_comment() -> None:
    assert [(row.name, row.default) for row in readme.rows(VALUES)] == [
        ("top.name", "first"),
        ("top.list.of", {"a": 1, "b": 2}),
    ]
    assert '| `top.name` | `"first"` | What it is for \\| in short. |' in readme.table(VALUES)


def test_every_property_of_the_schema_is_in_the_table() -> None:
    """A value without a comment would be missing here."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    listed = {row.name for row in readme.rows((CHART / "values.yaml").read_text())}
    missing = [name for name in names_of(schema) if not is_listed(name, listed)]
    assert missing == []


def test_a_stale_table_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "values.yaml").write_text(VALUES)
    (tmp_path / "README.md").write_text(f"{readme.BEGIN}\n{readme.END}\n")
    monkeypatch.setattr(readme, "CHART", tmp_path)
    monkeypatch.setattr(sys, "argv", ["readme.py", "--check"])
    with pytest.raises(SystemExit, match="out of date"):
        readme.main()


def names_of(schema: dict[str, object], path: str = "") -> list[str]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return [path]
    return [name for key, child in properties.items() for name in names_of(child, f"{path}.{key}".strip("."))]


def is_listed(name: str, listed: set[str]) -> bool:
    """By itself, or with a mapping that is described as a whole. `global` is helm's."""
    parts = name.split(".")
    return name == "global" or any(".".join(parts[:length]) in listed for length in range(1, len(parts) + 1))
