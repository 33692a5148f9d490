"""What follows when the result of a training is published: merging it into the base model, pushing it to the hub.

The publication is recorded first, so that an attempt after a failed merge or push does only what is missing.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from fettle_schema.layout import ADAPTER_WEIGHTS_FILE, MODELS
from fettle_schema.run import RunConfig, RunResult
from fettle_schema.status import OutputStatus
from fettle_schema.vocabulary import Stage
from fettle_trainer.adapter_changes import AdapterChanges
from fettle_trainer.atomic_file import write_json
from fettle_trainer.checkpoints import digest_of
from fettle_trainer.job_files import JobFiles
from fettle_trainer.merging import merge_adapter
from fettle_trainer.model_card import Kind, model_card
from fettle_trainer.models import BaseModel, resolve_base_model
from fettle_trainer.progress import loading
from fettle_trainer.publish import PROVENANCE_FILE, PublishedArtifact, publish_directory
from fettle_trainer.pushing import push_directory, require_push
from fettle_trainer.stopping import StopRequested
from fettle_trainer.training_run import Run

RECORD_FILE = "published.json"
"""In the directory of an attempt: its RunResult so far, from the moment that something is published."""


def require_finish(config: RunConfig, environment: Mapping[str, str]) -> None:
    """Refuse before the training what could only fail after it (TrainerFailure, 64)."""
    if config.output.push is not None:
        require_push(environment)


def find_published(files: JobFiles) -> RunResult | None:
    """The result of the newest attempt of this job that published, if its files are still there."""
    for path in sorted(files.attempts.glob(f"*/{RECORD_FILE}"), key=_attempt_of, reverse=True):
        if _attempt_of(path) > files.attempt:
            continue
        try:
            result = RunResult.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        if result.output is not None and (files.workspace / result.output.path / PROVENANCE_FILE).is_file():
            return result
    return None


def finish(run: Run, result: RunResult, environment: Mapping[str, str] | None = None) -> RunResult:
    """Merge and push as `spec.output` asks; the result with what came of it. Safe to repeat.

    TrainerFailure if that fails; what was published by then stays, and `find_published` finds it.
    """
    if result.output is None:
        return result
    wanted, kind = run.config.output, result.output.kind
    run.step = result.step
    _record(run.files, result)
    merges = wanted.merge or (wanted.push is not None and wanted.push.merged)
    if merges and kind == "adapter" and not _is_there(run, result.merged_output):
        run.progress.enter(Stage.SAVING)
        merged = _merge_published(run, result)
        result = result.model_copy(update={"merged_output": merged})
        _record(run.files, result)
    if wanted.push is not None and kind in ("adapter", "model"):
        run.progress.enter(Stage.UPLOADING)
        url = _push_published(run, result, os.environ if environment is None else environment)
        result = result.model_copy(update={"pushed_url": url})
        _record(run.files, result)
    return result


def with_published(files: JobFiles, failed: RunResult) -> RunResult:
    """The result of an attempt that failed, with what it or an earlier one has published all the same."""
    kept = find_published(files)
    if kept is None:
        return failed
    return kept.model_copy(update={"exit_code": failed.exit_code, "step": failed.step, "failure": failed.failure})


def publish_merged(run: Run, base: BaseModel, adapter: Path) -> PublishedArtifact:
    """Merge the adapter in the directory `adapter` into `base` and publish the model; equal inputs, equal digest."""
    with AdapterChanges(adapter) as changes:
        facts = {
            "weightsDigest": f"sha256:{digest_of(adapter / ADAPTER_WEIGHTS_FILE)}",
            "rank": changes.rank,
            "alpha": changes.config["lora_alpha"],
            "scaling": changes.scaling,
        }
    provenance = {"baseModel": {"name": base.name, "revision": base.revision}, "mergedAdapter": facts}
    config = run.config
    with loading(run.progress, _bytes_moved):
        merged = publish_directory(
            lambda directory: merge_adapter(base.directory, adapter, directory),
            run.files.workspace,
            MODELS,
            config.output.name,
            config.job.uid,
            provenance,
        )
    print(f"published: {merged.path}", flush=True)
    return merged


def _merge_published(run: Run, result: RunResult) -> OutputStatus:
    assert result.output is not None
    spec = run.config.base_model
    if spec.id is not None and result.base_model_revision and ":" not in result.base_model_revision:
        spec = spec.model_copy(update={"revision": result.base_model_revision})  # the commit that was trained on
    base = resolve_base_model(spec, run.files.workspace)
    merged = publish_merged(run, base, run.files.workspace / result.output.path)
    return OutputStatus(kind="model", path=merged.path, digest=merged.digest)


def _push_published(run: Run, result: RunResult, environment: Mapping[str, str]) -> str:
    spec, output = run.config.output.push, result.output
    assert spec is not None
    assert output is not None
    token = require_push(environment)
    if spec.merged and result.merged_output is not None:
        output = result.merged_output
    directory = run.files.workspace / output.path
    provenance = json.loads((directory / PROVENANCE_FILE).read_text(encoding="utf-8"))
    kind: Kind = "adapter" if output.kind == "adapter" else "model"
    card = model_card(kind, spec.repository, run.config.base_model.id, output.digest, provenance)
    with loading(run.progress, _bytes_moved):
        url = push_directory(directory, output.digest, spec, card, token, pause=lambda seconds: _pause(run, seconds))
    print(f"pushed: {url}", flush=True)
    return url


def _record(files: JobFiles, result: RunResult) -> None:
    files.attempt_directory.mkdir(parents=True, exist_ok=True)
    write_json(files.attempt_directory / RECORD_FILE, result.manifest())


def _is_there(run: Run, output: OutputStatus | None) -> bool:
    return output is not None and (run.files.workspace / output.path / PROVENANCE_FILE).is_file()


def _pause(run: Run, seconds: float) -> None:
    """Wait, unless the run is asked to stop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if run.stop.is_requested:
            raise StopRequested
        time.sleep(min(0.2, seconds))


def _bytes_moved() -> int:
    """Whole MiB that this process has read and written: grows while a model is merged or uploaded, not by waiting."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("rchar", "wchar"))) >> 20 << 20


def _attempt_of(path: Path) -> int:
    name = path.parent.name
    return int(name) if name.isdigit() else 0
