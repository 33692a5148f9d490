"""Result files: the metrics of each job that succeeded as a comma-separated file, made when somebody asks for it."""

from fettle_api.dialects.openai.refusals import resource_name
from fettle_api.dialects.openai.translate_events import result_rows
from fettle_api.dialects.openai.translate_jobs import result_file_id
from fettle_api.errors import DatasetNotFoundError, JobNotFoundError
from fettle_api.jobs.logs import MAX_LINES
from fettle_api.resources.models import JobView
from fettle_api.service import Service
from fettle_schema.vocabulary import Phase

_PREFIX = result_file_id("")


def is_result_file(file_id: str) -> bool:
    """Whether an id can be that of a result file."""
    return file_id.startswith(_PREFIX)


async def jobs_with_results(service: Service) -> list[JobView]:
    """Jobs that have one."""
    return [job for job in await service.jobs.all() if job.phase is Phase.SUCCEEDED]


async def read_results(service: Service, file_id: str) -> tuple[JobView, bytes]:
    """Whose it is, and its content. Raises DatasetNotFoundError."""
    try:
        job = await service.jobs.get(resource_name(file_id.removeprefix(_PREFIX)))
    except JobNotFoundError as error:
        raise DatasetNotFoundError(file_id) from error
    if job.phase is not Phase.SUCCEEDED:
        raise DatasetNotFoundError(file_id)
    return job, await content_of(service, job)


async def content_of(service: Service, job: JobView) -> bytes:
    """The file."""
    log = await service.results.series(job, MAX_LINES)
    return "".join(f"{line}\n" for line in result_rows(log.events)).encode()
