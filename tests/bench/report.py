"""Sections of docs/benchmarks.md: the machine, the versions, and a table each."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def machine_and_versions(*packages: str) -> str:
    """One sentence for the foot of a table."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    vectors = next((name for name in ("avx512_bf16", "avx512f", "avx2") if name in flags), "")
    return f"{os.cpu_count()} cores, {model} {vectors}, Python {sys.version.split()[0]}; {versions}."


def write_section(title: str, text: str) -> None:
    """Replace or add one section of the report."""
    REPORT.parent.mkdir(exist_ok=True)
    current = REPORT.read_text() if REPORT.exists() else "# Benchmarks\n\nWritten by `make bench-…`.\n"
    head, _, rest = current.partition(f"\n## {title}\n")
    following = rest.partition("\n## ")
    tail = f"\n## {following[2]}" if following[1] else ""
    REPORT.write_text(f"{head.rstrip()}\n\n## {title}\n\n{text}{tail}")
