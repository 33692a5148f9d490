"""The training process: `python -m fettle_trainer.run RUN_JSON`. Reads RunConfig, trains, leaves a RunResult.

The supervisor starts it; by hand it works the same. It prepares the dataset before it imports torch, so that a bad
dataset is refused in a moment.
"""

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fettle_data.findings import DatasetError
from fettle_schema import names
from fettle_schema.defaults import METHODS_WITH
from fettle_schema.run import RunConfig, RunResult
from fettle_schema.status import Failure
from fettle_schema.training_job import Method
from fettle_schema.vocabulary import ExitCode, FailureCode
from fettle_trainer.atomic_file import write_json
from fettle_trainer.diagnosis import diagnose, failed_result, fault_result
from fettle_trainer.distributed import Processes
from fettle_trainer.failures import TrainerFailure, configuration_failure
from fettle_trainer.finishing import find_published, finish, require_finish, with_published
from fettle_trainer.job_files import JobFiles, job_files
from fettle_trainer.stopping import StopFlag, StopRequested
from fettle_trainer.tracking import Trackers, open_trackers
from fettle_trainer.training_run import RestartRequested, Run
from fettle_trainer.verdict import RESTART, failure_result

if TYPE_CHECKING:
    from fettle_trainer.training import TrainingMethod

MODULES = {
    Method.SFT: "sft",
    Method.DPO: "dpo",
    Method.IPO: "dpo",
    Method.ORPO: "orpo",
    Method.KTO: "kto",
    Method.CPO: "cpo",
    Method.SIMPO: "cpo",
    Method.MERGE: "merge",
    Method.BENCHMARK: "benchmark",
}
"""The file of each method in `methods/`."""

TRACKING_SECONDS = 30.0
"""How long the end of a run waits for trackers."""

ALONE = frozenset({Method.MERGE, Method.BENCHMARK})
"""What the first of several processes does alone."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do one run, or one process's part of it; its exit code."""
    stop = StopFlag()
    stop.listen()
    processes = Processes.of(environment)
    processes.settle()
    try:
        config, files = open_run(arguments, environment)
    except TrainerFailure as failure:
        print(f"{failure.code}: {failure.message}. {failure.hint}".rstrip(), flush=True)
        return _end(processes, None, failure_result(failure))
    print(json.dumps(_printable(config), ensure_ascii=False), flush=True)
    progress = processes.progress_log(files.metrics, config.job.attempt)
    run = Run(config, files, progress, stop, processes)
    trackers = open_trackers(config, files, progress.warn) if processes.is_first else Trackers([])
    progress.subscribe(trackers.observe)
    result = _conclude(run)
    patience = min(TRACKING_SECONDS, config.limits.termination_grace_period_seconds / 4)
    trackers.close(int(ExitCode.RETRY) if result.exit_code == RESTART else result.exit_code, patience)
    result.started_from_step = run.started_from_step
    result.warnings = [*result.warnings, *run.progress.warnings]
    exit_code = _end(processes, files, result.manifest())
    if trackers.is_stuck:  # a thread of a library waits for a dead network, and the interpreter would wait for it
        sys.stdout.flush()
        os._exit(exit_code)
    return exit_code


def read_run_config(path: Path) -> RunConfig:
    """`run.json`, validated; TrainerFailure (64) names the fields that are wrong."""
    try:
        return RunConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise configuration_failure(path.name, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        text = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or path.name}: {problem['msg']}" for problem in problems[:5]
        )
        raise TrainerFailure(
            ExitCode.CONFIGURATION, text, "Correct the TrainingJob, or use a trainer image of the operator's version."
        ) from error


def refuse_foreign(config: RunConfig) -> None:
    """A hyperparameter that the method does not have."""
    given = config.hyperparameters.manifest()
    for name, methods in METHODS_WITH.items():
        if given.get(name) not in (None, False) and config.method not in methods:
            allowed = ", ".join(sorted(methods))
            what = f"does not exist for {config.method}, only for {allowed}"
            raise configuration_failure(f"spec.hyperparameters.{name}", what, "Leave it out.")


def open_run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[RunConfig, JobFiles]:
    """The RunConfig that the command line names, and where the run reads and writes; TrainerFailure (64)."""
    workspace = environment.get(names.ENV_WORKSPACE)
    if len(arguments) != 1 or not workspace:
        raise configuration_failure("usage", f"{names.ENV_WORKSPACE}=DIR python -m fettle_trainer.run RUN_JSON")
    config = read_run_config(Path(arguments[0]))
    try:
        files = job_files(Path(workspace).absolute(), config.directory, config.job.attempt)
    except ValueError as error:
        raise configuration_failure("directory", str(error)) from error
    files.attempt_directory.mkdir(parents=True, exist_ok=True)
    return config, files


def _end(processes: Processes, files: JobFiles | None, result: dict[str, Any]) -> int:
    """Leave the result where the supervisor looks for it; the exit code."""
    exit_code = int(result["exitCode"])
    if exit_code == RESTART:
        print("start the run again: it goes on with a smaller micro-batch; a supervisor does so by itself", flush=True)
    if processes.results is not None:
        processes.leave(processes.results, result)
    if files is not None and processes.is_first and exit_code != RESTART:
        _leave(files.result, result)
    return exit_code


def _printable(config: RunConfig) -> dict[str, Any]:
    """The configuration for the log, without the text of examples."""
    manifest = config.manifest()
    inline = manifest.get("dataset", {}).get("source", {}).get("inline")
    if inline is not None:
        inline["examples"] = f"{len(inline['examples'])} examples"
    return manifest


def _conclude(run: Run) -> RunResult:
    attempt = run.config.job.attempt
    try:
        refuse_foreign(run.config)
        require_finish(run.config, os.environ)
        if run.config.method in ALONE and not run.processes.is_first:
            return RunResult(exit_code=int(ExitCode.DONE))
        result = find_published(run.files) or _module(run.config.method).run(run)
        return finish(run, result) if run.processes.is_first else result
    except StopRequested:
        return _stopped(run)
    except RestartRequested:
        return RunResult(exit_code=RESTART, step=run.step)
    except BaseException as error:  # the edge of the process: whatever it was, the verdict must get out
        traceback.print_exc()
        if isinstance(error, DatasetError) and error.findings is not None:
            _leave(run.files.findings, error.findings.to_json())
        failure = diagnose(error) or run.processes.lost_peer(error)
        result = failed_result(failure, attempt, run.step) if failure else fault_result(error, attempt, run.step)
        return with_published(run.files, result) if run.processes.is_first else result


def _stopped(run: Run) -> RunResult:
    """85 where this attempt leaves a checkpoint, else 75: the next one would do the same work again."""
    from fettle_trainer.checkpoints import find_newest

    if not run.processes.is_first:  # the first one knows
        return RunResult(exit_code=int(ExitCode.CHECKPOINTED), step=run.step)
    newest = find_newest(run.files, run.progress.warn)
    if newest is not None and newest.step > run.started_from_step:
        return RunResult(exit_code=int(ExitCode.CHECKPOINTED), step=newest.step)
    message = "the run was asked to stop before it had a step worth saving"
    failure = Failure(
        code=str(FailureCode.INFRASTRUCTURE),
        message=message,
        hint="It is started again by itself.",
        exit_code=int(ExitCode.RETRY),
        attempt=run.config.job.attempt,
    )
    return RunResult(exit_code=int(ExitCode.RETRY), step=run.step, failure=failure)


def _leave(path: Path, value: object) -> None:
    """Write what a full disk may refuse; the exit code says it then."""
    try:
        write_json(path, value)
    except OSError as error:
        print(f"{path.name} could not be written: {error}", flush=True)


def method_of(config: RunConfig) -> "TrainingMethod":
    """What the method of a training does differently from the others."""
    method: TrainingMethod = _module(config.method).METHOD(config)
    return method


def _module(method: Method) -> Any:
    return import_module(f"fettle_trainer.methods.{MODULES[method]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
