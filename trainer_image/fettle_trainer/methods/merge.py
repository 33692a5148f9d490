"""Merging an adapter into its base model: find the adapter, merge, publish. Nothing is trained and torch comes late."""

import json
from pathlib import Path

from fettle_schema.layout import ADAPTER_CONFIG_FILE, RESULT_FILE
from fettle_schema.run import RunResult, RunStart
from fettle_schema.status import OutputStatus
from fettle_schema.vocabulary import ExitCode, Stage
from fettle_trainer.failures import configuration_failure
from fettle_trainer.finishing import publish_merged
from fettle_trainer.models import BaseModel, resolve_base_model
from fettle_trainer.starting_point import find_named, other_job, published_adapter
from fettle_trainer.training_run import Run


def run(run: Run) -> RunResult:
    """Merge and publish. Raises what ends the run otherwise; see `diagnosis`."""
    progress, workspace = run.progress, run.files.workspace
    progress.enter(Stage.LOADING_MODEL)
    start = run.config.start
    if start is None:
        raise configuration_failure("spec.startFrom", "merge needs a job or an Adapter to start from", "Set one.")
    base = resolve_base_model(run.config.base_model, workspace)
    adapter = find_adapter(run, start)
    print(f"merging {run.files.inside(adapter)} into {base.name}", flush=True)
    _compare_base(run, base, adapter)

    progress.enter(Stage.SAVING)
    merged = publish_merged(run, base, adapter)
    return RunResult(
        exit_code=int(ExitCode.DONE),
        output=OutputStatus(kind="model", path=merged.path, digest=merged.digest),
        size_bytes=merged.size_bytes,
        base_model_revision=base.revision,
    )


def find_adapter(run: Run, start: RunStart) -> Path:
    """The directory of the adapter that `start` names: published, or in a checkpoint.

    `latest` of a job that has published is what it published. TrainerFailure (64) says what there is instead.
    """
    workspace = run.files.workspace
    if start.adapter_path is not None:
        return published_adapter(workspace, start.adapter_path)
    directory = start.job_directory or ""
    files = other_job(workspace, directory)
    is_latest = start.checkpoint == "latest"
    published = _published_by(workspace, files.attempts) if is_latest else None
    if published is not None:
        return published
    checkpoint = find_named(files, start.checkpoint, run.progress.warn)
    if checkpoint is None or not (checkpoint.path / ADAPTER_CONFIG_FILE).is_file():
        wanted = (
            "published adapter and no complete checkpoint of one" if is_latest else f"adapter in {start.checkpoint!r}"
        )
        raise configuration_failure(
            "spec.startFrom", f"{directory!r} has no {wanted}", "Name a job that trained an adapter, or an Adapter."
        )
    return checkpoint.path


def _published_by(workspace: Path, attempts: Path) -> Path | None:
    """The adapter that a job published, by the results of its attempts."""
    results = [path for path in attempts.glob(f"*/{RESULT_FILE}") if path.parent.name.isdigit()]
    for path in sorted(results, key=lambda path: int(path.parent.name), reverse=True):
        try:
            output = json.loads(path.read_text(encoding="utf-8")).get("output") or {}
        except (OSError, ValueError, AttributeError):
            continue
        adapter = workspace / str(output.get("path", ""))
        if output.get("kind") == "adapter" and (adapter / ADAPTER_CONFIG_FILE).is_file():
            return adapter
    return None


def _compare_base(run: Run, base: BaseModel, adapter: Path) -> None:
    """Equal shapes prove nothing: another model of the same size would merge into nonsense."""
    try:
        trained_on = json.loads((adapter / ADAPTER_CONFIG_FILE).read_text(encoding="utf-8")).get(
            "base_model_name_or_path"
        )
    except (OSError, ValueError, AttributeError):
        return  # the merge says what is wrong with it
    if trained_on and trained_on != base.name and Path(trained_on).name != Path(base.name).name:
        run.progress.warn(f"the adapter was trained on {trained_on!r} and is merged into {base.name!r}")
