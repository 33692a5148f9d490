"""Uploaded files ↔ OpenAI's file objects. Pure; a record is read leniently, for anybody may have written it."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fettle_api.datasets.uploads import UploadView
from fettle_api.dialects.openai.translate_jobs import result_file_id, seconds
from fettle_api.dialects.openai.wire import RequestError
from fettle_api.resources.models import JobView

FINE_TUNE = "fine-tune"
RESULTS = "fine-tune-results"
PURPOSES = ("assistants", "batch", FINE_TUNE, "vision", "user_data", "evals")
EXPIRY_SECONDS = (3600, 2_592_000)

_SHOWN_PURPOSES = (*PURPOSES, RESULTS, "assistants_output", "batch_output")


def record_of_form(fields: Mapping[str, str], file_name: str, now: datetime) -> dict[str, Any]:
    """What is kept beside an uploaded file. Raises RequestError."""
    purpose = fields.get("purpose", "")
    if not purpose:
        raise RequestError("Missing required parameter: 'purpose'.", "purpose", "missing_required_parameter")
    if purpose not in PURPOSES:
        message = f"Invalid value for 'purpose'. Supported values are: {', '.join(map(repr, PURPOSES))}."
        raise RequestError(message, "purpose", "invalid_value")
    record: dict[str, Any] = {"file_name": file_name, "purpose": purpose, "created_at": seconds(now)}
    expires_after = _expires_after(fields)
    if expires_after is not None:
        record["expires_at"] = seconds(now) + expires_after
    return record


def _expires_after(fields: Mapping[str, str]) -> int | None:
    anchor, given = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and given is None:
        return None
    if anchor != "created_at":
        message = "Invalid value for 'expires_after.anchor'. Supported values are: 'created_at'."
        raise RequestError(message, "expires_after.anchor", "invalid_value")
    shortest, longest = EXPIRY_SECONDS
    value = int(given) if given is not None and re.fullmatch("[0-9]{1,9}", given) else 0
    if not shortest <= value <= longest:
        message = f"Invalid 'expires_after.seconds': expected an integer between {shortest} and {longest}."
        raise RequestError(message, "expires_after.seconds", "invalid_value")
    return value


def purpose_of(upload: UploadView) -> str:
    """What a file is for; those that came through another API are there to train on."""
    purpose = upload.record.get("purpose")
    return purpose if isinstance(purpose, str) and purpose in _SHOWN_PURPOSES else FINE_TUNE


def file_name_of(upload: UploadView) -> str:
    """As the caller named it."""
    name = upload.record.get("file_name")
    return name if isinstance(name, str) and name else upload.file.name


def file_of_upload(upload: UploadView) -> dict[str, Any]:
    """The file object."""
    created_at, expires_at = upload.record.get("created_at"), upload.record.get("expires_at")
    return _file(
        upload.id,
        upload.file.size_bytes,
        created_at if isinstance(created_at, int) else seconds(upload.created_at),
        file_name_of(upload),
        purpose_of(upload),
        expires_at if isinstance(expires_at, int) else None,
    )


def file_of_results(job: JobView, size_bytes: int) -> dict[str, Any]:
    """The file object of a job's result file."""
    created_at = seconds(job.status.completion_time or job.created_at)
    return _file(result_file_id(job.name), size_bytes, created_at, "step_metrics.csv", RESULTS, None)


def _file(
    file_id: str, size_bytes: int, created_at: int, name: str, purpose: str, expires_at: int | None
) -> dict[str, Any]:
    return {
        "object": "file",
        "id": file_id,
        "bytes": size_bytes,
        "created_at": created_at,
        "expires_at": expires_at,
        "filename": name,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
