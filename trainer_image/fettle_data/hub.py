"""Opens a dataset on the Hugging Face hub. `datasets` is imported here only, and only when one is asked for."""

import re
from collections.abc import Iterator

from fettle_data.findings import DatasetError, FindingCode
from fettle_data.rows import Row, Rows
from fettle_schema.dataset import HubSource

_MAX_REASON = 500
_CREDENTIALS_HINT = (
    "Accept the conditions on the dataset's page, and put a token of that account as HF_TOKEN into the Secret that "
    "spec.credentials.secretName names."
)
_REASONS = (
    (r"unknown split|split .* not found|bad split", "split", "Set it to one of the splits that are listed."),
    (r"config name is missing|builderconfig|for config|available configs", "config", "Set it to one of those listed."),
    (r"revision", "revision", "Set it to a branch, tag or commit of the dataset, or leave it out."),
    (r"gated|authenticated|private|\b401\b|\b403\b|unauthorized|forbidden", "id", _CREDENTIALS_HINT),
)
"""Words of the library's messages → field that is wrong, and what to do; the first that matches."""


def open_hub_dataset(source: HubSource, field: str) -> Rows:
    """Download it into the cache of HF_HOME, or take it from there; rows are then read from disk, not from memory."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        message = f"{field}: datasets on the hub cannot be read here, because the package 'datasets' is not installed"
        raise DatasetError(FindingCode.UNREADABLE, message, "Install the extra `trainer`.") from error
    try:
        table = load_dataset(source.id, source.config, split=source.split, revision=source.revision)
    except Exception as error:  # the library raises errors of five packages, without a common base
        raise _refusal(source, field, error) from error

    def read() -> Iterator[Row]:
        for number, values in enumerate(table, start=1):
            yield Row(number, f"{source.id} row {number}", values)

    return Rows(source.id, read)


def _refusal(source: HubSource, field: str, error: Exception) -> DatasetError:
    said = " ".join(str(error).splitlines()[:2])[:_MAX_REASON]
    words = f"{type(error).__name__} {said}".lower()
    name, hint = next(
        ((name, hint) for pattern, name, hint in _REASONS if re.search(pattern, words)),
        ("id", None),
    )
    message = (
        f"{field}.{name}: the dataset {source.id!r} (config {source.config!r}, split {source.split!r}) cannot be "
        f"loaded: {type(error).__name__}: {said}"
    )
    if isinstance(error, ConnectionError | TimeoutError):
        return DatasetError(FindingCode.UNREACHABLE, message.replace(f"{field}.{name}", f"{field}.id", 1))
    return DatasetError(FindingCode.HUB_REFUSED, message, hint)
