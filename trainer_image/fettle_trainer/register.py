"""`python -m fettle_trainer.register REQUEST`: give an adapter's files their place, and read what they say.

The request is an ArtifactRequest as JSON; the report goes into the termination message. Exit code 0 means that there
is a report, whatever it says. Changes nothing about files that are at their place.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fettle_schema.artifact import ArtifactReport, ArtifactRequest
from fettle_schema.layout import MODELS
from fettle_schema.names import ENV_TERMINATION_MESSAGE_PATH, ENV_WORKSPACE
from fettle_schema.reasons import Reason
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.adapter_facts import InvalidFilesError, compatibility, read_facts
from fettle_trainer.adapter_sources import Fetch, ProblemError, fetch_from_hub, place
from fettle_trainer.publish import ADAPTER_FILES

_MAX_BYTES = 4096


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Examine one adapter."""
    request = ArtifactRequest.model_validate_json(arguments[0])
    report = examine(request, Path(environment[ENV_WORKSPACE]), fetch_from_hub)
    text = shortened(report)
    print(text, flush=True)
    message_path = environment.get(ENV_TERMINATION_MESSAGE_PATH)
    if message_path:
        Path(message_path).write_text(text, encoding="utf-8")
    return int(ExitCode.DONE)


def examine(request: ArtifactRequest, workspace: Path, fetch: Fetch) -> ArtifactReport:
    """The report about one request. Equal files give equal reports."""
    try:
        placed = place(request, workspace, fetch)
        directory = workspace / placed.path
        facts = read_facts(directory)
    except ProblemError as error:
        return ArtifactReport(problem=error.problem)
    except InvalidFilesError as error:
        return ArtifactReport(problem=ProblemError(Reason.FILES_INVALID, str(error)).problem)
    return ArtifactReport(
        path=placed.path,
        digest=placed.digest,
        size_bytes=sum((directory / name).stat().st_size for name in ADAPTER_FILES if (directory / name).exists()),
        rank=facts.rank,
        target_modules=facts.target_modules[:64],
        compatibility=compatibility(facts, request.base_model.id, _find_base(request, workspace)),
        source=placed.source,
    )


def shortened(report: ArtifactReport) -> str:
    """The report as JSON of at most 4096 bytes; what is left out first is what nothing depends on."""
    content = report.manifest()
    if len(_dump(content).encode()) > _MAX_BYTES:
        content.pop("targetModules", None)
    if len(_dump(content).encode()) > _MAX_BYTES:
        for part in ("problem", "compatibility"):
            if part in content:
                content[part]["message"] = content[part]["message"][:300]
    return _dump(content)


def _dump(content: dict[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _find_base(request: ArtifactRequest, workspace: Path) -> Path | None:
    """The base model's directory, if it is here; nothing is downloaded."""
    name = request.base_model.id
    for directory in (workspace / name, workspace / MODELS / name):
        if (directory / "config.json").is_file():
            return directory
    return _find_in_cache(name, request.base_model.revision)


def _find_in_cache(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:  # a path of the workspace
        return None
    return Path(found).parent if isinstance(found, str) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
