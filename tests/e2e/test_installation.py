"""What helm leaves in a real cluster: rights that end where they should, a key that stays."""

import pytest

from tests.cluster import ClusterError
from tests.e2e.installation import NAMESPACE, Installation

pytestmark = pytest.mark.timeout(1200)


def test_without_the_key_the_facade_answers_401(installation: Installation) -> None:
    with installation.http(with_key=False) as client:
        assert client.get("/ainode/api/training/jobs").status_code == 401
        assert client.get("/healthz").status_code == 200


def test_an_upgrade_keeps_the_key(installation: Installation) -> None:
    before = installation.api_key()
    installation.upgrade("workspace.accessModes={ReadWriteMany}")
    assert installation.api_key() == before


def test_helm_test_trains_and_finds_the_adapter(installation: Installation) -> None:
    said = installation.test()
    assert "TrainingJob fettle-test created" in said
    assert "Adapter fettle-test is there: sha256:" in said
    assert "passed" in said
    assert installation.get("trainingjob", "fettle-test") is None
    assert installation.get("adapter", "fettle-test") is None
    for kind in ("serviceaccount", "role", "rolebinding", "configmap"):
        assert installation.get(kind, "fettle-test") is None, "its rights are gone"


@pytest.mark.parametrize(
    ("account", "verb", "resource"),
    [
        ("operator", "create", "jobs"),
        ("operator", "list", "pods"),
        ("operator", "delete", "trainingjobs"),
        ("api", "create", "secrets"),
        ("api", "list", "pods"),
    ],
)
def test_an_account_may(installation: Installation, account: str, verb: str, resource: str) -> None:
    assert _may(installation, f"fettle-{account}", verb, resource)


@pytest.mark.parametrize(
    ("account", "verb", "resource"),
    [
        *(("operator", verb, "secrets") for verb in ("get", "list", "watch", "create", "update", "patch")),
        ("operator", "get", "pods --subresource=log"),
        ("operator", "list", "nodes"),
        *(("api", verb, "secrets") for verb in ("get", "list", "watch", "update", "patch", "delete")),
        ("api", "create", "jobs"),
        ("api", "list", "nodes"),
        ("default", "get", "trainingjobs"),
    ],
)
def test_an_account_may_not(installation: Installation, account: str, verb: str, resource: str) -> None:
    assert not _may(installation, account if account == "default" else f"fettle-{account}", verb, resource)


def _may(installation: Installation, account: str, verb: str, resource: str) -> bool:
    user = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
    try:
        return installation.kubectl("auth", "can-i", verb, *resource.split(), user).strip() == "yes"
    except ClusterError:  # kubectl exits with 1 for "no"
        return False
