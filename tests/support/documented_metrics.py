"""What docs/metrics.md promises, for tests that hold it to the code."""

import re
from pathlib import Path

_DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"


def documented_metrics(part: str) -> set[str]:
    """Names under the heading `part`, without the suffix that counters get."""
    _, _, rest = _DOCUMENT.read_text().partition(f"## {part}\n")
    section = rest.partition("\n## ")[0]
    return set(re.findall(r"^\| `(fettle_\w+?)(?:_total)?`", section, re.MULTILINE))
