"""From a configuration to a request and what is known about it: what `/validate` and `/train` have in common."""

from dataclasses import dataclass, replace

from fettle_api.dialects.merlina.checks import Validation, format_errors, source_error, validate
from fettle_api.dialects.merlina.translate import Installation, request_of_config
from fettle_api.dialects.merlina.wire import DatasetBody, SourceBody, TrainingConfig
from fettle_api.errors import DatasetNotFoundError, DatasetRefusedError
from fettle_api.resources.models import JobRequest
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_schema.dataset import DatasetSource, InlineSource, WorkspaceSource
from fettle_schema.errors import InvalidManifestError
from fettle_schema.layout import DATASETS

_NO_ROWS = DatasetSource(inline=InlineSource(examples=["{}"]))
"""Stands in for a dataset where none was given, so that the rest can be checked."""


class SourceError(Exception):
    """A dataset that cannot be found."""


@dataclass(frozen=True)
class Prepared:
    """A request that is ready to be submitted, if `validation` finds nothing wrong."""

    request: JobRequest | None
    validation: Validation


async def installation_of(service: Service, settings: ApiSettings) -> Installation:
    """What does not depend on the request."""
    gpus = await service.gpus.all() if service.gpus.are_local else None
    return Installation(
        has_platform_token=settings.credentials_secret_name is not None,
        tracking_project=settings.tracking_project,
        local_gpus=None if gpus is None else len(gpus),
        default_gpus=settings.default_gpus,
    )


async def prepare(
    service: Service, settings: ApiSettings, config: TrainingConfig, job_id: str, priority: str, digest: str | None
) -> Prepared:
    """Look at everything; create nothing."""
    installation = await installation_of(service, settings)
    source, problem = _NO_ROWS, None
    if config.dataset is not None:
        try:
            source = await find_source(service, settings, config.dataset)
        except SourceError as error:
            problem = str(error)
    if config.dataset is not None and problem is None and config.training_mode == "sft":
        config = await _with_completions(service, config, config.dataset, source)
    has_rows = config.dataset is not None and problem is None and not any(format_errors(config.dataset))
    request = request_of_config(config, job_id, priority, source, installation, digest)
    if not has_rows:
        request = replace(request, spec={**request.spec, "dataset": {"source": _NO_ROWS.manifest()}})
    facts = await service.preflight.facts(request, look_at_rows=has_rows)
    validation = validate(config, facts, problem, installation, settings.missing_gpu)
    return Prepared(request if has_rows else None, validation)


async def find_source(service: Service, settings: ApiSettings, dataset: DatasetBody) -> DatasetSource:
    """Where the rows are. Raises SourceError."""
    missing = source_error(dataset)
    if missing is not None:
        raise SourceError(missing)
    source = dataset.source
    try:
        if source.source_type == "upload":
            upload = await service.uploads.get(source.dataset_id.strip())
            return DatasetSource(workspace=WorkspaceSource(path=upload.path))
        if source.source_type == "local_file":
            return await _find_file(service, settings, source)
        return await service.submissions.dataset_source(source.repo_id.strip(), source.split.strip() or "train")
    except DatasetNotFoundError:
        raise SourceError(f"Dataset '{source.dataset_id}' not found: upload it first") from None
    except (InvalidManifestError, ValueError):
        raise SourceError(f"'{source.repo_id}' is no id of a HuggingFace dataset (owner/name)") from None


async def _find_file(service: Service, settings: ApiSettings, source: SourceBody) -> DatasetSource:
    """A file of the workspace: relative to it, or below its root."""
    wanted = source.file_path.strip().removeprefix(f"{str(settings.workspace).rstrip('/')}/").removeprefix("./")
    try:
        found = await service.submissions.dataset_source(wanted)
        if found.hugging_face is not None and wanted not in settings.dataset_aliases:
            found = DatasetSource(workspace=WorkspaceSource(path=f"{DATASETS}/{wanted}"))
    except (InvalidManifestError, ValueError):
        raise SourceError(f"Dataset file not found: {source.file_path}; it must lie in the workspace") from None
    if found.workspace is not None and not await service.datasets.has_rows(found):
        raise SourceError(f"Dataset file not found: {source.file_path}")
    return found


async def _with_completions(
    service: Service, config: TrainingConfig, dataset: DatasetBody, source: DatasetSource
) -> TrainingConfig:
    """Answers for sft stand in `chosen` here; elsewhere they are called completions. Only where rows can be seen."""
    try:
        columns = (await service.datasets.preview_source(source, 1)).columns
    except DatasetRefusedError:
        return config
    names = [dataset.column_mapping.get(column, column) for column in columns]
    if "chosen" not in names or "completion" in names or "prompt" not in names:
        return config
    renamed = {columns[names.index("chosen")]: "completion"}
    mapping = {column: name for column, name in dataset.column_mapping.items() if name != "chosen"}
    changed = dataset.model_copy(update={"column_mapping": {**mapping, **renamed}})
    return config.model_copy(update={"dataset": changed})
