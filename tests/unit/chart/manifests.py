"""Finds things in rendered manifests."""

from typing import Any

from tests.unit.chart.conftest import Manifest


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def without_tests(manifests: list[Manifest]) -> list[Manifest]:
    """What `helm install` makes: hooks of `helm test` are left out."""
    return [one for one in manifests if "helm.sh/hook" not in (one["metadata"].get("annotations") or {})]


def secret_of(manifests: list[Manifest], suffix: str) -> Manifest:
    [found] = [one for one in of_kind(manifests, "Secret") if one["metadata"]["name"].endswith(f"-{suffix}")]
    return found


def deployment(manifests: list[Manifest], component: str) -> Manifest:
    [found] = [one for one in of_kind(manifests, "Deployment") if one["metadata"]["name"].endswith(f"-{component}")]
    return found


def pod(deployment: Manifest) -> dict[str, Any]:
    return dict(deployment["spec"]["template"]["spec"])


def container(deployment: Manifest) -> dict[str, Any]:
    [found] = pod(deployment)["containers"]
    return dict(found)


def environment(deployment: Manifest) -> dict[str, str]:
    variables = container(deployment)["env"]
    assert all(isinstance(variable["value"], str) for variable in variables), "a value that is no string"
    return {variable["name"]: variable["value"] for variable in variables}
