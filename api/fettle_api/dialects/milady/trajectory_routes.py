"""Status, trajectories, and datasets that are built from them."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.milady.refusals import in_words_of_milady
from fettle_api.dialects.milady.socket_routes import service_status
from fettle_api.dialects.milady.translate_trajectories import dataset_of, detail_of, ingested_of, page_of
from fettle_api.dialects.milady.wire import BuildRequest, TrajectoryRequest, page_of_query, parse_request
from fettle_api.dialects.milady.wire_answers import (
    DatasetAnswer,
    DatasetsAnswer,
    IngestedAnswer,
    StatusAnswer,
    TrajectoriesAnswer,
    TrajectoryAnswer,
)
from fettle_api.progress.announcements import Announcement, Happening
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.trajectories.service import MAX_BODY_BYTES
from fettle_api.web.body import read_bytes, read_optional_object
from fettle_api.web.documentation import documented

_PREFIX = "/api/training"
_TRAJECTORIES = f"{_PREFIX}/trajectories"
_DATASETS = f"{_PREFIX}/datasets"
_PAGE = {"limit": {"type": "string"}, "offset": {"type": "string"}}


def add_status(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """Counters."""

    @router.get(f"{_PREFIX}/status", **documented({200: StatusAnswer}))
    async def status() -> Response:
        """The training service: what runs, and how much there is."""
        return JSONResponse(await service_status(service, settings))


def add_trajectories(router: APIRouter, service: Service) -> None:
    """What agents did."""

    @router.post(_TRAJECTORIES, **documented({201: IngestedAnswer}, (400, 409, 507), body=TrajectoryRequest))
    async def ingest(request: Request) -> Response:
        """Take in trajectories: one JSON object, or one a line. Secrets and e-mail addresses are taken out.

        All or none. The same again is one; the same id with another content replaces what was there.
        """
        with in_words_of_milady():
            ingested = await service.trajectories.ingest(await read_bytes(request, MAX_BODY_BYTES))
        return JSONResponse(ingested_of(ingested), 201)

    @router.get(_TRAJECTORIES, **documented({200: TrajectoriesAnswer}, query=_PAGE))
    async def list_trajectories(request: Request) -> Response:
        """A page of trajectories, the newest first."""
        offset, limit = page_of_query(request.query_params)
        summaries, total = await service.trajectories.page(offset, limit)
        return JSONResponse(page_of(summaries, total, offset, limit))

    @router.get(f"{_TRAJECTORIES}/{{trajectory_id}}", **documented({200: TrajectoryAnswer}, (404,)))
    async def get_trajectory(trajectory_id: str) -> Response:
        """A whole trajectory: calls of models, and what was looked up."""
        with in_words_of_milady():
            trajectory = await service.trajectories.get(trajectory_id)
        return JSONResponse({"trajectory": detail_of(trajectory)})


def add_datasets(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """Examples made of trajectories."""

    @router.get(_DATASETS, **documented({200: DatasetsAnswer}))
    async def list_datasets() -> Response:
        """Datasets that were built from trajectories, the newest first."""
        return JSONResponse({"datasets": [dataset_of(dataset) for dataset in await service.trajectories.datasets()]})

    @router.post(
        f"{_DATASETS}/build",
        **documented({201: DatasetAnswer}, (400, 409, 507), body=BuildRequest, is_body_required=False),
    )
    async def build(request: Request) -> Response:
        """Build a dataset of the newest trajectories: one example for each call whose texts say something."""
        with in_words_of_milady():
            wanted = parse_request(BuildRequest, await read_optional_object(request, settings.max_body_bytes))
            dataset = await service.trajectories.build(wanted.limit, wanted.min_llm_calls_per_trajectory)
        told = dataset_of(dataset)
        message = f"Dataset built: {told['exampleCount']} examples of {told['trajectoryCount']} trajectories"
        service.announcements.announce(
            Announcement(Happening.DATASET_BUILT, service.clock(), message, dataset_name=dataset.name)
        )
        return JSONResponse({"dataset": told}, 201)
