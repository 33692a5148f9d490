"""`python charts/readme.py [--check]`: the table of values in the chart's README, from the comments of values.yaml.

A comment that begins with `# --` tells what the value below it is for; the value stands with its default. A value with
such a comment is one row, whatever lies below it.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent / "fettle"
BEGIN, END = "<!-- generated: values -->", "<!-- end -->"
_COMMENT = re.compile(r"^\s*# -- (.+)$")
_VALUE = re.compile(r"^(\s*)([A-Za-z_]\w*):")
_LONGEST_DEFAULT = 60


@dataclass(frozen=True)
class Row:
    """One value."""

    name: str
    default: Any
    about: str


def rows(text: str) -> Iterator[Row]:
    """Every value that has a comment, in the order of the file."""
    values = yaml.safe_load(text)
    path: list[str] = []
    about = ""
    for line in text.splitlines():
        comment, value = _COMMENT.match(line), _VALUE.match(line)
        if comment:
            about = comment[1]
        elif value:
            path = [*path[: len(value[1]) // 2], value[2]]
            if about:
                yield Row(".".join(path), _at(values, path), about)
            about = ""


def table(text: str) -> str:
    """Markdown."""
    lines = ["| value | default | |", "|---|---|---|"]
    lines += [
        f"| `{row.name}` | {_shown(row.default)} | {row.about.replace('|', chr(92) + '|')} |" for row in rows(text)
    ]
    return "\n".join(lines)


def with_table(readme: str, values: str) -> str:
    """The README with the table as it should be."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    text, count = pattern.subn(lambda _: f"{BEGIN}\n{table(values)}\n{END}", readme)
    if count != 1:
        raise SystemExit(f"README.md of the chart: expected one section {BEGIN}")
    return text


def _at(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _shown(default: Any) -> str:
    if default in ("", None):
        return ""
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _LONGEST_DEFAULT else "see `values.yaml`"


def main() -> None:
    """Write the README, or with --check exit 1 when it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    path = CHART / "README.md"
    current = path.read_text()
    wanted = with_table(current, (CHART / "values.yaml").read_text())
    if parser.parse_args().check and current != wanted:
        sys.exit("out of date, run `make generate`: charts/fettle/README.md")
    path.write_text(wanted)


if __name__ == "__main__":
    main()
