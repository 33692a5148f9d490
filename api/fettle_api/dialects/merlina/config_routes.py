"""Saved configurations: save, list, get, delete, export, import."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.merlina import translate_machine
from fettle_api.dialects.merlina.refusals import in_words_of_merlina, truth
from fettle_api.dialects.merlina.wire import ExportRequest, ImportRequest, SaveRequest, parse
from fettle_api.dialects.merlina.wire_answers import (
    ConfigurationAnswer,
    ConfigurationsAnswer,
    DeletedConfigurationAnswer,
    SavedAnswer,
)
from fettle_api.errors import BodyError, DocumentNotFoundError, FileMissingError, FileNameError, NameTakenError
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.documentation import documented


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except DocumentNotFoundError:
        raise HTTPException(404, f"Configuration '{name}' not found") from None
    except FileNameError:
        raise HTTPException(400, f"Invalid configuration name: {name!r}") from None


def add_configurations(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """All routes below /configs."""
    _add_files(router, service, settings)

    @router.post("/configs/save", **documented({200: SavedAnswer}, (400, 422, 507), body=SaveRequest))
    async def save(request: Request) -> Response:
        """Save a configuration, or write over the one of this name."""
        with in_words_of_merlina():
            wanted = parse(SaveRequest, await read_object(request, settings.max_body_bytes))
        with _named(wanted.name):
            try:
                saved = await service.configurations.save(wanted.name, wanted.config, wanted.description, wanted.tags)
            except BodyError as error:
                raise HTTPException(400, str(error)) from None
        message = f"Configuration '{wanted.name}' saved successfully"
        return JSONResponse({"status": "success", "message": message, "filepath": saved.path})

    query = {"tag": {"type": "string"}}

    @router.get("/configs/list", **documented({200: ConfigurationsAnswer}, query=query))
    async def list_configurations(request: Request) -> Response:
        """All configurations, or those with a tag."""
        found = await service.configurations.all(request.query_params.get("tag") or None)
        entries = [translate_machine.entry_of(one) for one in found]
        return JSONResponse({"status": "success", "configs": entries, "count": len(entries)})

    switches = {"include_metadata": {"type": "boolean", "default": False}}

    @router.get("/configs/{name:path}", **documented({200: ConfigurationAnswer}, (404, 422), query=switches))
    async def get(request: Request, name: str) -> Response:
        """One configuration."""
        with_metadata = truth(request.query_params, "include_metadata")
        with _named(name):
            found = await service.configurations.get(name)
        return JSONResponse(translate_machine.configuration_of(found, with_metadata))

    @router.delete("/configs/{name:path}", **documented({200: DeletedConfigurationAnswer}, (404,)))
    async def delete(name: str) -> Response:
        """Delete a configuration."""
        with _named(name):
            await service.configurations.delete(name)
        return JSONResponse({"status": "success", "message": f"Configuration '{name}' deleted successfully"})


def _add_files(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    @router.post("/configs/export", **documented({200: SavedAnswer}, (400, 404, 422, 507), body=ExportRequest))
    async def export(request: Request) -> Response:
        """Write a configuration to a file below `configs/` of the workspace."""
        with in_words_of_merlina():
            wanted = parse(ExportRequest, await read_object(request, settings.max_body_bytes))
        try:
            path = await service.configurations.export(wanted.name, wanted.output_path)
        except DocumentNotFoundError:
            raise HTTPException(404, f"Configuration '{wanted.name}' not found") from None
        except (FileNameError, NameTakenError) as error:
            words = "output_path must be a free path below configs/ of the workspace"
            raise HTTPException(400, f"{words}: {error}") from None
        return JSONResponse({"status": "success", "message": f"Configuration exported to {path}", "filepath": path})

    @router.post("/configs/import", **documented({200: SavedAnswer}, (400, 404, 422, 507), body=ImportRequest))
    async def load(request: Request) -> Response:
        """Save the content of a file below `configs/` of the workspace as a configuration."""
        with in_words_of_merlina():
            wanted = parse(ImportRequest, await read_object(request, settings.max_body_bytes))
        try:
            saved = await service.configurations.load(wanted.filepath, wanted.name)
        except FileMissingError:
            raise HTTPException(404, f"File not found: {wanted.filepath}") from None
        except (BodyError, FileNameError) as error:
            raise HTTPException(400, f"The file cannot be imported: {error}") from None
        return JSONResponse(
            {"status": "success", "message": "Configuration imported successfully", "filepath": saved.path}
        )
