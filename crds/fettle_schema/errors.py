"""Errors of the core. Only edges turn them into HTTP answers, exit codes or conditions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong with a manifest."""

    path: str
    """For example `spec.adapter.rank`."""
    message: str
    """What is wrong and what is allowed."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class FettleError(Exception):
    """Base of all errors that a person may see; `code` is for machines."""

    code = "Error"


class InvalidManifestError(FettleError):
    """A manifest breaks the schema or a rule; nothing was stored."""

    code = "Invalid"

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(map(str, errors)))
