"""Resources as tables, with the columns that kubectl shows for them. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fettle_client.protocol import (
    ADAPTERS,
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    PODS,
    SECRETS,
    TRAINING_JOBS,
    Manifest,
    ResourceKind,
)
from fettle_schema.progress import duration


@dataclass(frozen=True)
class Column:
    """One column; `is_wide` ones are shown by `-o wide` only."""

    title: str
    value: Callable[[Manifest], Any]
    is_wide: bool = False


def _at(path: str) -> Callable[[Manifest], Any]:
    def read(manifest: Manifest) -> Any:
        value: Any = manifest
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return read


def _model(manifest: Manifest) -> Any:
    base_model = manifest["spec"]["baseModel"]
    return base_model.get("id") or base_model.get("path")


def _gpus(manifest: Manifest) -> int:
    resources = manifest["spec"]["resources"]
    gpus: int = resources["gpusPerNode"] * resources["nodes"]
    return gpus


def _restarts(manifest: Manifest) -> int:
    attempts = (manifest.get("status") or {}).get("attempts") or {}
    return int(attempts.get("failures", 0)) + int(attempts.get("preemptions", 0))


def _job_result(manifest: Manifest) -> str:
    status = manifest.get("status") or {}
    return f"{status.get('succeeded', 0)}/{manifest['spec'].get('completions', 1)}"


_COLUMNS: dict[ResourceKind, list[Column]] = {
    TRAINING_JOBS: [
        Column("PHASE", _at("status.phase")),
        Column("STEP", _at("status.progress.summary")),
        Column("LOSS", _at("status.progress.loss")),
        Column("ETA", _at("status.progress.eta")),
        Column("GPUS", _gpus),
        Column("RESTARTS", _restarts),
        Column("METHOD", _at("spec.method"), is_wide=True),
        Column("MODEL", _model, is_wide=True),
        Column("QUEUE", _at("spec.scheduling.queue"), is_wide=True),
        Column("ADAPTER", _at("status.adapter"), is_wide=True),
        Column("REASON", _at("status.reason"), is_wide=True),
    ],
    ADAPTERS: [
        Column("PHASE", _at("status.phase")),
        Column("MODEL", _at("spec.baseModel.id")),
        Column("RANK", _at("status.rank")),
        Column("JOB", _at("spec.source.trainingJob")),
        Column("PATH", _at("status.path"), is_wide=True),
        Column("DIGEST", _at("status.digest"), is_wide=True),
    ],
    JOBS: [Column("COMPLETIONS", _job_result)],
    PODS: [Column("STATUS", _at("status.phase")), Column("REASON", _at("status.reason"), is_wide=True)],
    CONFIG_MAPS: [Column("DATA", lambda manifest: len(manifest.get("data") or {}))],
    SECRETS: [Column("DATA", lambda manifest: len(manifest.get("data") or {}))],
    EVENTS: [
        Column("TYPE", _at("type")),
        Column("REASON", _at("reason")),
        Column("OBJECT", _at("involvedObject.name")),
        Column("MESSAGE", _at("message")),
    ],
}

_SHORT_NAMES = {
    "tj": TRAINING_JOBS,
    "tjob": TRAINING_JOBS,
    "adp": ADAPTERS,
    "po": PODS,
    "cm": CONFIG_MAPS,
    "ev": EVENTS,
}


def kind_named(text: str) -> ResourceKind:
    """The kind for `trainingjob`, `TrainingJobs`, `tj`, …; raises ValueError naming what there is."""
    wanted = text.lower().partition(".")[0]
    for kind in _COLUMNS:
        if wanted in (kind.kind.lower(), kind.plural):
            return kind
    if wanted in _SHORT_NAMES:
        return _SHORT_NAMES[wanted]
    raise ValueError(f"unknown kind {text!r}; kinds: {', '.join(kind.plural for kind in _COLUMNS)}")


def reference(kind: ResourceKind, name: str) -> str:
    """How kubectl names a resource: `trainingjob.fettle.dev/demo`."""
    group = kind.api_version.rpartition("/")[0]
    return f"{kind.kind.lower()}{'.' + group if group else ''}/{name}"


def table(kind: ResourceKind, manifests: list[Manifest], is_wide: bool, now: datetime) -> str:
    """Lines with a header, columns three spaces apart."""
    columns = [column for column in _COLUMNS[kind] if is_wide or not column.is_wide]
    rows = [["NAME", *(column.title for column in columns), "AGE"]]
    for manifest in manifests:
        cells = [_cell(column.value(manifest)) for column in columns]
        rows.append([manifest["metadata"]["name"], *cells, age(manifest, now)])
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def age(manifest: Manifest, now: datetime) -> str:
    """Time since creation, as kubectl writes it."""
    created = datetime.fromisoformat(manifest["metadata"]["creationTimestamp"]).replace(tzinfo=UTC)
    return duration((now - created).total_seconds())


def without_secrets(manifest: Manifest) -> Manifest:
    """The manifest; values of a Secret are replaced by `***`."""
    if manifest.get("kind") != "Secret":
        return manifest
    return {**manifest, "data": dict.fromkeys(manifest.get("data") or {}, "***")}


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
