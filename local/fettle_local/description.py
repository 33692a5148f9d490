"""`fettle describe`: one resource as text for people. Pure."""

from datetime import datetime
from typing import Any

from fettle_client.protocol import Manifest
from fettle_local.tables import age
from fettle_schema.manifests import dump_manifest

_HIDDEN_METADATA = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp")


def describe_manifest(manifest: Manifest, events: list[Manifest], now: datetime) -> str:
    """Name first, then spec and status, conditions as a table, events last."""
    metadata, status = manifest["metadata"], dict(manifest.get("status") or {})
    conditions = status.pop("conditions", [])
    lines = [
        f"Name:       {metadata['name']}",
        f"Namespace:  {metadata['namespace']}",
        f"Kind:       {manifest['kind']}",
    ]
    lines += [f"UID:        {metadata['uid']}", f"Age:        {age(manifest, now)}"]
    others = {name: value for name, value in metadata.items() if name not in _HIDDEN_METADATA}
    content = {name: manifest[name] for name in manifest if name not in ("apiVersion", "kind", "metadata", "status")}
    for title, value in (("Metadata", others), *((name.capitalize(), value) for name, value in content.items())):
        lines += _section(title, value)
    lines += _section("Status", status)
    if conditions:
        lines += ["Conditions:", *_rows([_condition_row(condition) for condition in conditions])]
    lines += ["Events:", *_rows([_event_row(event, now) for event in events])] if events else ["Events:     none"]
    return "\n".join(lines)


def _section(title: str, value: Any) -> list[str]:
    if value in (None, {}, []):
        return []
    if not isinstance(value, dict):
        return [f"{title}: {value}"]
    return [f"{title}:", *(f"  {line}" for line in dump_manifest(value).splitlines())]


def _condition_row(condition: dict[str, Any]) -> list[str]:
    return [condition["type"], condition["status"], condition.get("reason", ""), condition.get("message", "")]


def _event_row(event: Manifest, now: datetime) -> list[str]:
    return [age(event, now), str(event.get("type", "")), str(event.get("reason", "")), str(event.get("message", ""))]


def _rows(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
