"""Datasets, which AINode's own interface needs: list, add, upload, get, delete, preview."""

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.ainode import translate_results
from fettle_api.dialects.ainode.refusals import in_words_of_ainode
from fettle_api.dialects.ainode.wire import DatasetRequest, parse_request
from fettle_api.dialects.ainode.wire_answers import DatasetAnswer, DatasetsAnswer, DeletedAnswer, PreviewAnswer
from fettle_api.dialects.ainode.wire_datasets import name_of_upload, source_of_request, url_of_request
from fettle_api.errors import BodyError, RemoteError
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.documentation import documented
from fettle_api.web.multipart import read_form

_PREFIX = "/api/datasets"
_FORM = {
    "file": {"type": "string", "format": "binary"},
    "name": {"type": "string", "maxLength": 253},
    "description": {"type": "string", "maxLength": 4096},
}


def add_datasets(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """All routes below /api/datasets."""
    _add_additions(router, service, settings)

    @router.get(_PREFIX, **documented({200: DatasetsAnswer}))
    async def list_datasets() -> Response:
        """All datasets, the newest first."""
        datasets = await service.datasets.all()
        return JSONResponse({"datasets": [translate_results.dataset_of(dataset) for dataset in datasets]})

    @router.get(f"{_PREFIX}/{{dataset_id}}", **documented({200: DatasetAnswer}, (404,)))
    async def get_dataset(dataset_id: str) -> Response:
        """One dataset."""
        with in_words_of_ainode():
            return JSONResponse(translate_results.dataset_of(await service.datasets.get(dataset_id)))

    @router.delete(f"{_PREFIX}/{{dataset_id}}", **documented({200: DeletedAnswer}, (404,)))
    async def delete_dataset(dataset_id: str) -> Response:
        """Delete a dataset with all its versions."""
        with in_words_of_ainode():
            await service.datasets.delete(dataset_id)
        return JSONResponse({"status": "deleted"})

    query = {"limit": {"type": "integer", "minimum": 1, "maximum": 25, "default": 3}}

    @router.get(f"{_PREFIX}/{{dataset_id}}/preview", **documented({200: PreviewAnswer}, (400, 404), query=query))
    async def preview(request: Request, dataset_id: str) -> Response:
        """The first rows, as they are."""
        limit = translate_results.limit_of_query(request.query_params)
        with in_words_of_ainode():
            dataset = await service.datasets.get(dataset_id)
            found = await service.datasets.preview(dataset_id, limit)
        return JSONResponse(translate_results.preview_of(dataset, found))


def _add_additions(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    @router.post(_PREFIX, **documented({201: DatasetAnswer}, (400, 409, 507), body=DatasetRequest))
    async def register(request: Request) -> Response:
        """Register a dataset of the hub or of the workspace, of which nothing is copied, or fetch a URL."""
        with in_words_of_ainode():
            wanted = parse_request(DatasetRequest, await read_object(request, settings.max_body_bytes))
            url = url_of_request(wanted)
            name, source = source_of_request(wanted) if url is None else ("", None)
        if url is not None:
            try:
                dataset = await service.datasets.fetch(url, wanted.name, wanted.description)
            except (RemoteError, BodyError) as error:
                raise HTTPException(400, f"Failed to add dataset: {error}") from error
        elif source is not None:
            dataset = await service.datasets.register(wanted.name.strip() or name, source, wanted.description)
        return JSONResponse(translate_results.dataset_of(dataset), 201)

    @router.post(f"{_PREFIX}/upload", **documented({201: DatasetAnswer}, (400, 409, 507), form=_FORM))
    async def upload(request: Request) -> Response:
        """Upload a file; the same name again is a new version of the same dataset."""
        async with service.datasets.receive() as incoming:
            form = await read_form(request, incoming, settings.max_upload_bytes)
            if not form.file_name:
                raise HTTPException(400, "Missing 'file' field")
            name = form.fields.get("name", "").strip() or name_of_upload(form.file_name)
            try:
                dataset = await service.datasets.publish(incoming, name, form.fields.get("description", ""))
            except BodyError as error:
                raise HTTPException(400, "Missing 'file' field") from error
        return JSONResponse(translate_results.dataset_of(dataset), 201)
