"""A real API server for a test session: one that the tests start, or one that is marked as theirs to use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import yaml

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import ApiError, Manifest, ResourceKind
from tests.cluster import CONTEXT, Cluster
from tests.support.polling import eventually

NAMESPACES = ResourceKind("v1", "Namespace", "namespaces", namespaced=False)
CRDS = ResourceKind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False)
CRD_FOLDER = Path(__file__).resolve().parents[2] / "crds"


@contextmanager
def api_server(home: Path) -> Iterator[Path]:
    """The kubeconfig of a control plane in `home`, or of `FETTLE_TEST_KUBECONFIG`; refused unless it is for tests."""
    if given := os.environ.get("FETTLE_TEST_KUBECONFIG"):
        yield checked(Path(given))
        return
    cluster = Cluster(home)
    cluster.up()
    try:
        yield cluster.kubeconfig
    finally:
        cluster.down()


def checked(kubeconfig: Path) -> Path:
    """The kubeconfig, if its current context is named as test clusters are: tests create and delete without asking."""
    context = (yaml.safe_load(kubeconfig.read_text()) or {}).get("current-context")
    if context != CONTEXT:
        raise ValueError(f"FETTLE_TEST_KUBECONFIG: its current context is {context!r}, and tests only use {CONTEXT!r}")
    return kubeconfig


async def install_crds(client: KubernetesClient) -> None:
    """Both kinds as `crds/*.yaml` has them, ready to be used."""
    for path in sorted(CRD_FOLDER.glob("*.yaml")):
        manifest: Manifest = yaml.safe_load(path.read_text())
        await client.apply(CRDS, manifest, "fettle-tests")
        await eventually(partial(_is_served, client, _kind_of(manifest["spec"])), f"{path.name} is served")


def _kind_of(spec: Manifest) -> ResourceKind:
    api_version = f"{spec['group']}/{spec['versions'][0]['name']}"
    return ResourceKind(api_version, spec["names"]["kind"], spec["names"]["plural"])


async def _is_served(client: KubernetesClient, kind: ResourceKind) -> bool:
    try:
        await client.list(kind, None)
    except ApiError:
        return False
    return True
