"""What helm says after an installation: what to do next, and what there is to know."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.chart.conftest import CHART

Notes = Callable[..., str]


@pytest.fixture(scope="module")
def notes(helm: Callable[..., str], cluster: Path) -> Notes:
    """The notes of an installation that is not carried out: helm shows them with an API server only."""

    def render(*values: str) -> str:
        options = [option for value in values for option in ("--set", value)]
        target = (f"--kubeconfig={cluster}", "--namespace=demo", "--dry-run=client", "--take-ownership")
        text = helm("install", "fettle", str(CHART), *target, *options)
        return text.partition("\nNOTES:\n")[2]

    return render


def test_by_default_they_tell_test_train_and_call(notes: Notes) -> None:
    text = notes()
    for told in (
        "helm test fettle --namespace demo\n",
        "kubectl -n demo logs fettle-test",
        "kubectl -n demo apply -f job.yaml",
        "get secret fettle-api-key",
        "keeps the claim with all files and the CRDs with all training jobs and adapters",
    ):
        assert told in text
    assert "ReadWriteOnce" not in text


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("workspace.accessModes={ReadWriteOnce}", "all runs of a namespace go to one node"),
        ("workspace.create=false", "Jobs wait until this namespace has the claim"),
        ("crds.keep=false", "keeps the claim with all files; keys"),
        ("watchNamespaces={elsewhere}", "watchNamespaces lacks demo"),
        ("test.enabled=false", "`helm test` is not there"),
        ("api.authentication=token", "kubectl create token ACCOUNT"),
    ],
)
def test_they_tell_what_the_values_bring(notes: Notes, value: str, told: str) -> None:
    assert told in notes(value)


def test_they_tell_the_hosts(notes: Notes) -> None:
    assert "ainode: http://a.example" in notes("api.ingress.enabled=true", "api.ingress.hosts.ainode=a.example")
    assert "3. Over HTTP" not in notes("api.enabled=false")
