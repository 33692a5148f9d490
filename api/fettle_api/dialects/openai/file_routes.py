"""Files: upload, list, get, read, delete."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response

from fettle_api.datasets.uploads import UploadView
from fettle_api.dialects.openai.pages import Bounds, cut, list_of, page_request
from fettle_api.dialects.openai.refusals import in_words_of_openai, refusal
from fettle_api.dialects.openai.result_files import content_of, is_result_file, jobs_with_results, read_results
from fettle_api.dialects.openai.translate_files import (
    EXPIRY_SECONDS,
    PURPOSES,
    RESULTS,
    file_name_of,
    file_of_results,
    file_of_upload,
    purpose_of,
    record_of_form,
)
from fettle_api.dialects.openai.translate_jobs import result_file_id
from fettle_api.dialects.openai.wire import RequestError
from fettle_api.dialects.openai.wire_answers import DeletedFileAnswer, FileAnswer, FilesAnswer
from fettle_api.resources.models import JobView
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.documentation import documented
from fettle_api.web.downloads import attachment
from fettle_api.web.multipart import read_form

_FILES = "/files"
_BOUNDS = Bounds(default=10_000, largest=10_000)
_ORDERS = ("asc", "desc")
_FORM = {
    "file": {"type": "string", "format": "binary"},
    "purpose": {"type": "string", "enum": list(PURPOSES)},
    "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
    "expires_after[seconds]": {"type": "integer", "minimum": EXPIRY_SECONDS[0], "maximum": EXPIRY_SECONDS[1]},
}
_QUERY = {**_BOUNDS.query(), "order": {"type": "string", "enum": list(_ORDERS)}, "purpose": {"type": "string"}}


def add_files(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """All routes below /files."""

    @router.post(_FILES, **documented({200: FileAnswer}, (400, 507), form=_FORM))
    async def upload(request: Request) -> Response:
        """Upload a file."""
        with in_words_of_openai():
            async with service.uploads.receive() as incoming:
                form = await read_form(request, incoming, settings.max_upload_bytes)
                if form.file_name is None:
                    raise RequestError("Missing required parameter: 'file'.", "file", "missing_required_parameter")
                record = record_of_form(form.fields, incoming.file_name, service.clock())
                stored = await service.uploads.publish(incoming, f"file-{secrets.token_hex(12)}", record)
        return JSONResponse(file_of_upload(stored))

    @router.get(_FILES, **documented({200: FilesAnswer}, (400,), query=_QUERY))
    async def list_files(request: Request) -> Response:
        """Files, the newest first."""
        with in_words_of_openai():
            wanted = page_request(request.query_params, _BOUNDS)
            entries = await _entries(service, request.query_params)
            page, has_more = cut(entries, wanted, lambda entry: entry[1])
        return JSONResponse(list_of([await show() for _, _, show in page], has_more))

    @router.get(f"{_FILES}/{{file_id}}", **documented({200: FileAnswer}, (404,)))
    async def get_file(file_id: str) -> Response:
        """One file."""
        with in_words_of_openai(file_id):
            if is_result_file(file_id):
                job, content = await read_results(service, file_id)
                return JSONResponse(file_of_results(job, len(content)))
            return JSONResponse(file_of_upload(await service.uploads.get(file_id)))

    @router.delete(f"{_FILES}/{{file_id}}", **documented({200: DeletedFileAnswer}, (400, 404)))
    async def delete_file(file_id: str) -> Response:
        """Delete a file."""
        with in_words_of_openai(file_id):
            if is_result_file(file_id):
                await read_results(service, file_id)
                raise refusal(400, "A result file belongs to its job and goes with it.", "id", "result_file")
            await service.uploads.delete(file_id)
        return JSONResponse({"object": "file", "id": file_id, "deleted": True})

    _add_content(router, service)


def _add_content(router: APIRouter, service: Service) -> None:
    promises = documented({200: "The file.", 206: "Part of the file.", 304: "It has not changed."}, (404, 416))

    @router.get(f"{_FILES}/{{file_id}}/content", **promises)
    async def read_content(request: Request, file_id: str) -> Response:
        """The content of a file."""
        with in_words_of_openai(file_id):
            if is_result_file(file_id):
                _, content = await read_results(service, file_id)
                return Response(content, media_type="application/octet-stream")
            upload = await service.uploads.get(file_id)
            file = await service.uploads.open(file_id)
        return attachment(file, file_name_of(upload), f'"{file_id}"', request.headers)


_Entry = tuple[datetime, str, Callable[[], Awaitable[dict[str, Any]]]]
"""When it came, its id, and what shows it: the size of a result file is found out for those on the page only."""


async def _entries(service: Service, query: QueryParams) -> list[_Entry]:
    """All files that are wanted, in order. Raises RequestError."""
    order, purpose = query.get("order") or "desc", query.get("purpose")
    if order not in _ORDERS:
        raise RequestError("Invalid value for 'order'. Supported values are: 'asc', 'desc'.", "order", "invalid_value")
    entries = [_of_upload(upload) for upload in await service.uploads.all() if purpose in (None, purpose_of(upload))]
    if purpose in (None, RESULTS):
        entries += [_of_job(service, job) for job in await jobs_with_results(service)]
    return sorted(entries, key=lambda entry: entry[:2], reverse=order == "desc")


def _of_upload(upload: UploadView) -> _Entry:
    async def show() -> dict[str, Any]:
        return file_of_upload(upload)

    return upload.created_at, upload.id, show


def _of_job(service: Service, job: JobView) -> _Entry:
    async def show() -> dict[str, Any]:
        return file_of_results(job, len(await content_of(service, job)))

    return job.completion_time or job.created_at, result_file_id(job.name), show
