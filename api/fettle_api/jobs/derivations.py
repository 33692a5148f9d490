"""Use cases that make a job from another one: resume, merge. No HTTP; the dialect names the new job."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from fettle_api.errors import FileMissingError
from fettle_api.jobs.derived_jobs import check_merge, choose_checkpoint, merge_spec, resumed_spec
from fettle_api.jobs.lifecycle import Jobs
from fettle_api.jobs.results import Results
from fettle_api.jobs.submissions import Submissions
from fettle_api.resources.models import CheckpointView, JobRequest, JobView


@dataclass(frozen=True)
class Resumed:
    """A new job that goes on from another one's checkpoint."""

    job: JobView
    source: JobView
    checkpoint: CheckpointView
    available: tuple[CheckpointView, ...]
    """Of the source, the highest step first."""


@dataclass(frozen=True)
class Merged:
    """A new job that merges another one's adapter."""

    job: JobView
    source: JobView
    adapter_path: str


class Derivations:
    """Jobs from jobs. Their Secret is the source's."""

    def __init__(self, jobs: Jobs, results: Results, submissions: Submissions) -> None:
        self._jobs, self._results, self._submissions = jobs, results, submissions

    async def resume(
        self, name: str, checkpoint: str | None, build: Callable[[JobView, CheckpointView], JobRequest]
    ) -> Resumed:
        """Go on from `checkpoint`, or the newest; `build` gives the request, whose `spec` is filled in here.

        Raises JobNotFoundError, JobStateError while it runs, CheckpointNotFoundError with what there is.
        """
        source = await self._jobs.get(name)
        available = await self._results.checkpoints(source)
        chosen = choose_checkpoint(source, available, checkpoint)
        request = replace(build(source, chosen), spec=resumed_spec(source, checkpoint))
        return Resumed(await self._submissions.submit(request), source, chosen, tuple(available))

    async def merge(self, name: str, build: Callable[[JobView], JobRequest]) -> Merged:
        """Merge what the job published into its base model.

        Raises JobNotFoundError, JobStateError, NothingToMergeError, FileMissingError if the files are gone.
        """
        source = await self._jobs.get(name)
        path = check_merge(source)
        if not await self._results.has_files(path):
            raise FileMissingError(f"the adapter of training job {name!r} is gone")
        request = replace(build(source), spec=merge_spec(source))
        return Merged(await self._submissions.submit(request), source, path)
