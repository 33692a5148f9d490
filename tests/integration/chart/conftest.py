"""The chart as helm renders it for a fresh namespace of the real API server."""

from collections.abc import Callable

import pytest

from fettle_client.protocol import Manifest, ResourceKind
from fettle_schema.manifests import load_manifests
from tests.integration.chart.kinds import KINDS
from tests.unit.chart.conftest import CHART
from tests.unit.chart.conftest import helm as helm

RenderHere = Callable[..., list[Manifest]]


@pytest.fixture
def render_here(helm: Callable[..., str], namespace: str) -> RenderHere:
    """The manifests of a release in the test's namespace, by values in helm's own notation."""

    def render(*values: str) -> list[Manifest]:
        options = [option for value in values for option in ("--set-json" if "=[" in value else "--set", value)]
        output = helm("template", "fettle", str(CHART), f"--namespace={namespace}", "--kube-version=1.35.0", *options)
        return load_manifests(output)

    return render


def kind_of(manifest: Manifest) -> ResourceKind:
    return KINDS[manifest["kind"]]
