"""Keys of engines, from the files that the chart mounts. The edge to them; a key is never kept, logged or shown."""

from pathlib import Path


class MissingKeyError(Exception):
    """There is no such key; the message says which file it would be."""


def read_key(directory: Path | None, namespace: str, name: str | None, usual: str | None = None) -> str | None:
    """The key that an Adapter names; if it names none the `usual` one, where the namespace has that, or None.

    Raises MissingKeyError.
    """
    if name is None:
        if usual is None or directory is None or not (directory / f"{namespace}.{usual}").is_file():
            return None
        name = usual
    file_name = f"{namespace}.{name}"
    if directory is None:
        raise MissingKeyError(f"spec.serving.apiKeyName: no keys are mounted into the operator, so no {file_name!r}")
    try:
        key = (directory / file_name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise MissingKeyError(f"spec.serving.apiKeyName: the operator has no key file {file_name!r}") from error
    if not key or "\n" in key:
        raise MissingKeyError(f"spec.serving.apiKeyName: the key file {file_name!r} holds no single line")
    return key
