"""`make manifests`: what kubectl applies where there is no Helm. It holds no secret, and the API server takes it."""

import subprocess
from pathlib import Path

import pytest

from fettle_schema.manifests import load_manifests
from tests.cluster import build
from tests.integration.chart.conftest import RenderHere

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def manifests(namespace: str, render_here: RenderHere, tmp_path: Path) -> Path:
    """The file for the test's namespace; `render_here` sees to it that there is a helm."""
    values, target = tmp_path / "values.yaml", tmp_path / "fettle.yaml"
    values.write_text("operator: {replicas: 1}\ncrds: {enabled: false}\n")
    command = ["make", "-s", "manifests", f"NAMESPACE={namespace}", f"VALUES={values}", f"MANIFESTS={target}"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert f"wrote {target}" in finished.stdout
    return target


def test_the_values_are_used_and_no_secret_is_written(manifests: Path) -> None:
    written = load_manifests(manifests.read_text())
    assert not [one for one in written if one["kind"] == "Secret"]
    assert not [one for one in written if "helm.sh/hook" in (one["metadata"].get("annotations") or {})]
    [operator] = [
        one for one in written if one["metadata"]["name"] == "fettle-operator" and one["kind"] == "Deployment"
    ]
    assert operator["spec"]["replicas"] == 1
    text = manifests.read_text()
    for name in ("fettle-api-key", "fettle-webhook-key"):
        assert f"secretName: {name}" in text


def test_kubectl_applies_it_twice(cluster: Path, manifests: Path) -> None:
    kubectl = build.kubebox_path() / "kubectl"
    for _ in range(2):
        command = [str(kubectl), f"--kubeconfig={cluster}", "apply", "--server-side", "-f", str(manifests)]
        finished = subprocess.run(command, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        assert "serverside-applied" in finished.stdout
