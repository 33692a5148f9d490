"""Renders the chart with a real helm."""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.manifests import load_manifests
from tests.cluster import build, machine

CHART = Path(__file__).resolve().parents[3] / "charts" / "fettle"
Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


TEMPLATE = ("template", "fettle", str(CHART), "--namespace=demo", "--kube-version=1.35.0")


class HelmError(Exception):
    """What helm said."""


@pytest.fixture(scope="session")
def helm() -> Callable[..., str]:
    """Runs helm with arguments and returns its output; raises HelmError."""
    reasons = machine.missing_for_control_plane()
    if reasons:
        pytest.skip("; ".join(reasons))
    program = build.build_helm()

    def run(*arguments: str) -> str:
        finished = subprocess.run([str(program), *arguments], capture_output=True, text=True)
        if finished.returncode:
            raise HelmError(finished.stdout + finished.stderr)
        return finished.stdout

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., str]) -> Render:
    """The chart's manifests, by values in helm's own notation (`api.enabled=false`); `again` renders anew."""

    @cache
    def output_of(*values: str) -> str:
        options = [option for value in values for option in ("--set-json" if "=[" in value else "--set", value)]
        return helm(*TEMPLATE, *options)

    def run(*values: str, again: bool = False) -> list[Manifest]:
        return load_manifests(output_of.__wrapped__(*values) if again else output_of(*values))

    return run
