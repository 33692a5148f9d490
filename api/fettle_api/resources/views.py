"""Manifests of resources → views. Pure; what a dialect sees of annotations is hostile and read leniently."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fettle_api.resources.contents import pack, read_object
from fettle_api.resources.models import JobView, OllamaModel
from fettle_schema.names import (
    ANNOTATION_CREATED_AT,
    ANNOTATION_DESCRIPTION,
    ANNOTATION_DIALECT,
    ANNOTATION_METADATA,
    ANNOTATION_OLLAMA,
    ANNOTATION_ORIGINAL_ID,
    ANNOTATION_REQUEST,
    ANNOTATION_REQUEST_DIGEST,
    ANNOTATION_RUN_NAME,
)
from fettle_schema.vocabulary import Phase

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def view_job(manifest: Mapping[str, Any]) -> JobView:
    """The view of a TrainingJob. Raises pydantic's ValidationError for one that the CRD would not have let in."""
    metadata = manifest["metadata"]
    annotations = metadata.get("annotations") or {}
    contents = pack(manifest.get("spec") or {}, manifest.get("status") or {})
    spec, status = contents.spec, contents.status
    return JobView(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=_created_at(metadata, annotations),
        contents=contents,
        phase=status.phase or Phase.PENDING,
        method=spec.method,
        cancel=spec.cancel,
        priority=spec.scheduling.priority,
        start_time=status.start_time,
        completion_time=status.completion_time,
        gpu_seconds=status.gpu_seconds.total if status.gpu_seconds else 0.0,
        output_kind=status.output.kind if status.output else None,
        has_webhook=spec.webhook is not None,
        dialect=annotations.get(ANNOTATION_DIALECT),
        original_id=annotations.get(ANNOTATION_ORIGINAL_ID),
        request_text=annotations.get(ANNOTATION_REQUEST),
        description=annotations.get(ANNOTATION_DESCRIPTION),
        run_name=annotations.get(ANNOTATION_RUN_NAME),
        request_digest=annotations.get(ANNOTATION_REQUEST_DIGEST),
        metadata=_pairs(annotations.get(ANNOTATION_METADATA)),
        ollama=_ollama(annotations.get(ANNOTATION_OLLAMA)),
    )


def _created_at(metadata: Mapping[str, Any], annotations: Mapping[str, str]) -> datetime:
    """The fine time of the annotation, unless it contradicts what the API server wrote."""
    coarse = _time(metadata.get("creationTimestamp")) or _EPOCH
    fine = _time(annotations.get(ANNOTATION_CREATED_AT))
    if fine is None or abs((fine - coarse).total_seconds()) > 60:
        return coarse
    return fine


def _time(text: object) -> datetime | None:
    try:
        value = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _ollama(text: str | None) -> OllamaModel | None:
    pairs = _pairs(text) or {}
    time = _time(pairs.get("importedAt"))
    return OllamaModel(pairs["name"], time) if "name" in pairs and time is not None else None


def _pairs(text: str | None) -> Mapping[str, str] | None:
    pairs = read_object(text)
    return None if pairs is None else {name: value for name, value in pairs.items() if isinstance(value, str)}
