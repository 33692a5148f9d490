"""What the documentation points to is there: files, sections, values of the chart, fields of manifests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fettle_schema.failures import FAILURES
from fettle_schema.manifests import load_manifests
from fettle_schema.validation import admit

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts/fettle"
WRITTEN_BY_TESTS = "test-all.md"
DOCUMENTS = [
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != WRITTEN_BY_TESTS),
    *(ROOT / "README.md", CHART / "README.md", ROOT / "images/README.md"),
]
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    document = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text())):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@pytest.mark.parametrize("name", NAMES)
def test_every_value_that_is_named_is_one_of_the_charts(name: str) -> None:
    text = (ROOT / name).read_text()
    named = {found for code in re.findall(r"`([^`\n]+)`", text) for found in re.findall(r"^([a-z]\w+(?:\.\w+)+)", code)}
    named |= {one.split("=")[0] for options in re.findall(r"--set '?([^'\s]+)", text) for one in options.split(",")}
    values = {one for one in named if one.split(".")[0] in SCHEMA["properties"]}
    assert [one for one in sorted(values) if not is_value(one)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_block_of_values_fits_the_schema(name: str) -> None:
    for block in yaml_blocks(name):
        values = yaml.safe_load(block)
        if values.keys() & SCHEMA["properties"].keys():
            assert [one for one in leaves(values) if not is_value(one)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_manifest_is_admitted(name: str) -> None:
    for block in yaml_blocks(name):
        if "kind:" in block:
            for manifest in load_manifests(block):
                admit(manifest)


def test_the_checks_see_something() -> None:
    """An expression that finds nothing would prove nothing."""
    assert len(yaml_blocks("docs/install.md")) == 1
    assert len(yaml_blocks("docs/first-job.md")) == 1
    assert not is_value("api.nonsense")
    assert not is_value("api.ingress.host")
    assert is_value("api.ingress.hosts.http")
    assert is_value("operator.queues.default.maxRunning")


def test_every_failure_has_a_section() -> None:
    assert {code.lower() for code in FAILURES} <= anchors(ROOT / "docs/troubleshooting.md")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Of every heading, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def yaml_blocks(name: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def is_value(name: str) -> bool:
    """Whether the schema has such a value, or room for any of that name."""
    schema = SCHEMA
    for part in name.split("."):
        others = schema.get("additionalProperties", True)
        if part in schema.get("properties", {}):
            schema = schema["properties"][part]
        elif others is False or "type" not in schema or schema["type"] != "object":
            return False
        else:
            schema = others if isinstance(others, dict) else {"type": "object"}
    return True
