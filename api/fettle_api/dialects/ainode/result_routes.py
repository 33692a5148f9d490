"""What a job leaves behind: log, list of files, files."""

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.ainode import translate_results
from fettle_api.dialects.ainode.refusals import in_words_of_ainode, resource_name
from fettle_api.dialects.ainode.wire_answers import LogAnswer, OutputAnswer
from fettle_api.errors import FileMissingError
from fettle_api.service import Service
from fettle_api.web.documentation import documented
from fettle_api.web.downloads import attachment

_JOB = "/api/training/jobs/{job_id}"


def add_results(router: APIRouter, service: Service) -> None:
    """Reads only."""

    @router.get(f"{_JOB}/logs", **documented({200: LogAnswer}, (404,), query={"tail": {"type": "string"}}))
    async def logs(request: Request, job_id: str) -> Response:
        """The log, or its last `tail` lines."""
        tail = translate_results.tail_of_query(request.query_params)
        with in_words_of_ainode(job_id):
            log = await service.results.log(resource_name(job_id), tail)
        return JSONResponse(translate_results.log_of(log, tail))

    @router.get(f"{_JOB}/output", **documented({200: OutputAnswer}, (404,)))
    async def output(request: Request, job_id: str) -> Response:
        """Published files."""
        with in_words_of_ainode(job_id):
            published = await service.results.output(resource_name(job_id))
        base_url = f"{request.scope.get('root_path', '')}/api/training/jobs"
        return JSONResponse(translate_results.output_of(published, base_url))

    async def download(request: Request, job_id: str, file_name: str) -> Response:
        """One published file; ranges are served."""
        with in_words_of_ainode(job_id):
            try:
                file, etag = await service.results.open_output(resource_name(job_id), file_name)
            except FileMissingError:
                raise HTTPException(404, f"File not found: {file_name}") from None
        return attachment(file, file_name, etag, request.headers, with_body=request.method == "GET")

    path = f"{_JOB}/output/{{file_name:path}}"
    answers = {200: "The file.", 206: "A part of it.", 304: "It has not changed."}
    router.get(path, **documented(answers, (400, 404, 416)))(download)
    router.head(path, include_in_schema=False)(download)
