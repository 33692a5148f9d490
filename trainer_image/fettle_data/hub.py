"""Opens a dataset on the Hugging Face hub. `datasets` is imported here only, and only when one is asked for."""

from collections.abc import Iterator

from fettle_data.findings import DatasetError, FindingCode
from fettle_data.rows import Row, Rows
from fettle_schema.dataset import HubSource


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
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:500]
        message = f"{field}.id: the dataset {source.id!r} (split {source.split!r}) cannot be loaded: {reason}"
        is_network = isinstance(error, ConnectionError | TimeoutError)
        raise DatasetError(FindingCode.UNREACHABLE if is_network else FindingCode.HUB_REFUSED, message) from error

    def read() -> Iterator[Row]:
        for number, values in enumerate(table, start=1):
            yield Row(number, f"{source.id} row {number}", values)

    return Rows(source.id, read)
