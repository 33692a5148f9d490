"""What a request to register a dataset means, and what an upload without a name is called. Pure."""

import re
from pathlib import PurePosixPath

from pydantic import ValidationError

from fettle_api.dialects.ainode.wire import DatasetRequest, RequestError
from fettle_schema.base import HUB_ID_PATTERN, WORKSPACE_PATH_PATTERN
from fettle_schema.dataset import DatasetSource, HubSource, WorkspaceSource
from fettle_schema.layout import DATASETS, UPLOADS


def url_of_request(request: DatasetRequest) -> str | None:
    """What is to be fetched, if that is what is asked for. Raises RequestError."""
    if request.source.strip().lower() != "url":
        return None
    url = request.url.strip() or request.path.strip()
    if not url:
        raise RequestError("url is required")
    return url


def source_of_request(request: DatasetRequest) -> tuple[str, DatasetSource]:
    """A name for the dataset, and where its rows are. Raises RequestError."""
    kind = request.source.strip().lower()
    if kind == "huggingface":
        return _hub(request)
    if kind == "local":
        return _local(request.path.strip())
    raise RequestError(f"Unsupported source '{kind[:64]}'. Use 'huggingface', 'local', or 'url'.")


def name_of_upload(file_name: str) -> str:
    """The file's name without directories and suffix."""
    return PurePosixPath(file_name.replace("\\", "/")).stem[:253].strip() or "upload"


def _hub(request: DatasetRequest) -> tuple[str, DatasetSource]:
    repository = request.repo_id.strip() or request.path.strip()
    if "/" not in repository or not re.fullmatch(HUB_ID_PATTERN, repository) or len(repository) > 200:
        raise RequestError("HuggingFace repo_id must look like 'org/name'")
    try:
        hub = HubSource(id=repository, config=request.config or None, split=request.split or "train")
    except ValidationError:
        raise RequestError("config and split must have at most 253 characters") from None
    return repository, DatasetSource(hugging_face=hub)


def _local(path: str) -> tuple[str, DatasetSource]:
    """Only what is meant to hold datasets: the rest of the workspace belongs to jobs and models."""
    if not re.fullmatch(WORKSPACE_PATH_PATTERN, path) or not path.startswith((f"{DATASETS}/", f"{UPLOADS}/")):
        raise RequestError(f"path must lie in the workspace below {DATASETS}/ or {UPLOADS}/")
    return PurePosixPath(path).stem, DatasetSource(workspace=WorkspaceSource(path=path))
