"""Paths of resources on an API server. No I/O."""

from urllib.parse import quote

from fettle_client.protocol import InvalidError, ResourceKind


def collection_path(kind: ResourceKind, namespace: str | None) -> str:
    """Where a kind is listed and created; `namespace` None means every namespace."""
    prefix = "/apis" if "/" in kind.api_version else "/api"
    root = f"{prefix}/{kind.api_version}"
    if not kind.namespaced or namespace is None:
        return f"{root}/{kind.plural}"
    return f"{root}/namespaces/{_segment('namespace', namespace)}/{kind.plural}"


def resource_path(kind: ResourceKind, name: str, namespace: str, subresource: str | None = None) -> str:
    """Where one resource is, or a subresource such as `status`."""
    path = f"{collection_path(kind, namespace)}/{_segment('name', name)}"
    return f"{path}/{subresource}" if subresource else path


def _segment(what: str, value: str) -> str:
    """Names come from callers, and one that is empty or climbs would reach another path."""
    if value in ("", ".", "..") or "/" in value:
        raise InvalidError(400, "BadRequest", f"metadata.{what}: {value!r} is no name of a resource")
    return quote(value, safe="")
