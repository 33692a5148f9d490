"""Datasets and models: previews, columns, uploads, tokenizers."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, HTTPException, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from fettle_api.datasets.views import ModelTemplate
from fettle_api.dialects.merlina import translate_machine
from fettle_api.dialects.merlina.checks import format_errors
from fettle_api.dialects.merlina.preparation import SourceError, find_source
from fettle_api.dialects.merlina.refusals import in_words_of_merlina
from fettle_api.dialects.merlina.translate import dataset_of_body
from fettle_api.dialects.merlina.wire import DatasetBody, PreloadRequest, parse
from fettle_api.dialects.merlina.wire_answers import (
    CachedModelsAnswer,
    ColumnsAnswer,
    PreviewAnswer,
    TokenizerAnswer,
    UploadAnswer,
    UploadsAnswer,
)
from fettle_api.errors import BodyError, DatasetRefusedError, FileMissingError
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.documentation import documented
from fettle_api.web.multipart import read_form
from fettle_schema.dataset import DatasetSource, DatasetSpec

_FORM = {"file": {"type": "string", "format": "binary"}}


def add_previews(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """What shows rows. Whatever goes wrong is a 400."""

    async def read(request: Request) -> tuple[DatasetBody, DatasetSource]:
        with in_words_of_merlina():
            dataset = parse(DatasetBody, await read_object(request, settings.max_body_bytes))
        return dataset, await find_source(service, settings, dataset)

    @router.post("/dataset/preview", **documented({200: PreviewAnswer}, (400, 422), body=DatasetBody))
    async def preview(request: Request) -> Response:
        """The first rows, with the names that the mapping gives to columns."""
        with _refused():
            dataset, source = await read(request)
            found = await service.datasets.preview_source(source, translate_machine.MAX_ROWS)
        return JSONResponse(translate_machine.preview_of(found, dataset.column_mapping))

    @router.post("/dataset/preview-formatted", **documented({200: PreviewAnswer}, (400, 422), body=DatasetBody))
    async def preview_formatted(request: Request) -> Response:
        """The first rows as they are trained on."""
        with _refused():
            dataset, source = await read(request)
            for words in format_errors(dataset):
                raise SourceError(words)
            spec = DatasetSpec.model_validate(dataset_of_body(dataset, source))
            template = await _template(service, dataset)
            limit = translate_machine.MAX_FORMATTED_ROWS
            found = await service.datasets.preview_formatted(spec, None, limit, template)
        return JSONResponse(translate_machine.formatted_of(found))

    @router.post("/dataset/columns", **documented({200: ColumnsAnswer}, (400, 422), body=DatasetBody))
    async def columns(request: Request) -> Response:
        """Columns, and a few rows as they are."""
        with _refused():
            _, source = await read(request)
            found = await service.datasets.preview_source(source, translate_machine.MAX_SAMPLES)
        return JSONResponse(translate_machine.columns_of(found, await service.datasets.count_rows(source)))


async def _template(service: Service, dataset: DatasetBody) -> ModelTemplate | None:
    """That of the model that is named, where a template of a model is to be shown."""
    if dataset.format.format_type != "tokenizer":
        return None
    if not dataset.model_name.strip():
        raise SourceError("The tokenizer format needs model_name: whose chat template is to be shown")
    found = await service.preflight.model_template(dataset.model_name.strip())
    if found is None:
        raise SourceError(f"Model '{dataset.model_name}' has no chat template in the workspace")
    return found


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (SourceError, DatasetRefusedError) as error:
        raise HTTPException(400, str(error)) from None
    except ValidationError as error:
        places = sorted({".".join(map(str, finding["loc"])) for finding in error.errors()})
        raise HTTPException(400, f"The dataset's settings are not valid: {', '.join(places)}") from None


def add_uploads(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """Files that jobs refer to by an id."""

    @router.post("/dataset/upload-file", **documented({200: UploadAnswer}, (400, 409, 507), form=_FORM))
    async def upload(request: Request) -> Response:
        """Upload a dataset file."""
        async with service.uploads.receive() as incoming:
            form = await read_form(request, incoming, settings.max_upload_bytes)
            if not form.file_name:
                raise HTTPException(400, "Upload failed: the form has no 'file'")
            upload_id = f"upload_{service.clock():%Y%m%d_%H%M%S}_{secrets.token_hex(4)}"
            try:
                found = await service.uploads.publish(incoming, upload_id, {"file_name": incoming.file_name})
            except BodyError as error:
                raise HTTPException(400, f"Upload failed: {error}") from None
        return JSONResponse({"status": "success", **translate_machine.upload_of(found)})

    @router.get("/dataset/uploads", **documented({200: UploadsAnswer}))
    async def uploads() -> Response:
        """All uploaded files, the newest first."""
        return JSONResponse({"datasets": [translate_machine.upload_of(one) for one in await service.uploads.all()]})


def add_models(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """Tokenizers of models that the workspace has."""

    @router.post("/model/preload", **documented({200: TokenizerAnswer}, (400, 422), body=PreloadRequest))
    async def preload(request: Request) -> Response:
        """What a model's tokenizer says of itself. Nothing is downloaded: the model must be in the workspace."""
        with in_words_of_merlina():
            wanted = parse(PreloadRequest, await read_object(request, settings.max_body_bytes))
        name = wanted.model_name.strip()
        try:
            tokenizer = await service.base_models.tokenizer(name)
        except (FileMissingError, BodyError) as error:
            raise HTTPException(400, f"Failed to load tokenizer: {error}") from None
        return JSONResponse(translate_machine.tokenizer_of(wanted.model_name, tokenizer))

    @router.get("/model/cached", **documented({200: CachedModelsAnswer}))
    async def cached() -> Response:
        """Models whose tokenizer is in the workspace."""
        names = await service.base_models.with_tokenizer()
        return JSONResponse({"cached_models": names, "count": len(names)})
