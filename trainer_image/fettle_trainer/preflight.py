"""`python -m fettle_trainer.preflight RUN_JSON`: all that can be found wrong with a run without its GPUs.

A check goes on where another has failed, so that everything is said at once: in `preflight.json` of the job's
directory, and, as a RunResult, in the termination message and the exit code.
"""

import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fettle_data.prepare import PreparedDataset
from fettle_data.token_statistics import TokenStatistics, token_statistics
from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.errors import EstimateError
from fettle_schema.estimate.job_estimate import JobEstimate, KnownFacts
from fettle_schema.layout import METRICS_FILE, PREFLIGHT_FILE
from fettle_schema.run import RunResult
from fettle_schema.training_job import Method
from fettle_schema.vocabulary import SEVERITY, ExitCode
from fettle_trainer.atomic_file import write_json
from fettle_trainer.diagnosis import diagnose, failed_result, fault_result
from fettle_trainer.disk_need import needed_bytes
from fettle_trainer.estimates import estimate_run
from fettle_trainer.examples import load_template_tokenizer, prepare_examples
from fettle_trainer.failures import DISK_HINT, TrainerFailure
from fettle_trainer.finishing import require_finish
from fettle_trainer.methods.merge import find_adapter
from fettle_trainer.models import BaseModel, load_skeleton, resolve_base_model
from fettle_trainer.preparation import add_adapter
from fettle_trainer.progress import ProgressLog
from fettle_trainer.run import method_of, open_run, refuse_foreign
from fettle_trainer.starting_point import find_start, published_adapter
from fettle_trainer.stopping import StopFlag
from fettle_trainer.supervisor import deliver, message_path
from fettle_trainer.training import encode, import_libraries
from fettle_trainer.training_run import Run
from fettle_trainer.verdict import failure_result

_UNTRAINED = frozenset({Method.MERGE, Method.BENCHMARK})
_GIB = 1 << 30


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Examine one run; its exit code would be that of the run."""
    try:
        config, files = open_run(arguments, environment)
    except TrainerFailure as failure:
        print(f"{failure.code}: {failure.message}. {failure.hint}".rstrip(), flush=True)
        deliver(failure_result(failure), message_path(environment))
        return int(failure.exit_code)
    progress = ProgressLog(files.attempt_directory / METRICS_FILE, config.job.attempt)
    examination = Examination(Run(config, files, progress, StopFlag()), environment)
    result = examination.result()
    write_json(files.directory / PREFLIGHT_FILE, examination.report())
    deliver(result.manifest(), message_path(environment))
    return result.exit_code


class Examination:
    """The checks of one run, in the order in which the run would come to them."""

    def __init__(self, run: Run, environment: Mapping[str, str]) -> None:
        self.failures: list[RunResult] = []
        self._run = run
        self._environment = environment
        self._dataset: PreparedDataset | None = None
        self._base: BaseModel | None = None
        self._tokens: TokenStatistics | None = None
        self._estimate: JobEstimate | None = None
        self._examine()

    def result(self) -> RunResult:
        """The worst of what was found, or what the run will work on."""
        if self.failures:
            worst = min(self.failures, key=_severity)
            others = len(self.failures) - 1
            if others and worst.failure is not None:
                more = f" ({others} more in {self._run.config.directory}/{PREFLIGHT_FILE})"
                worst.failure.message = f"{worst.failure.message[: 4096 - len(more)]}{more}"
            return worst.model_copy(update={"warnings": self._run.progress.warnings})
        return RunResult(
            exit_code=int(ExitCode.DONE),
            base_model_revision=self._base.revision if self._base is not None else None,
            dataset_digest=self._dataset.digest if self._dataset is not None else None,
            estimate=self._estimate.manifest() if self._estimate is not None else None,
            warnings=self._run.progress.warnings,
        )

    def report(self) -> dict[str, Any]:
        """Everything that was found, as JSON values."""
        failures = [result.failure.manifest() for result in self.failures if result.failure is not None]
        return {
            "failures": failures,
            "warnings": self._run.progress.warnings,
            "tokens": self._tokens.to_json() if self._tokens is not None else None,
            "estimate": self._estimate.manifest() if self._estimate is not None else None,
        }

    def _examine(self) -> None:
        run, config = self._run, self._run.config
        with self._check():
            refuse_foreign(config)
            require_finish(config, self._environment)
        with self._check():
            self._require_start()
        if config.dataset is not None:
            with self._check():
                self._dataset = prepare_examples(run)
        with self._check():
            self._base = resolve_base_model(config.base_model, run.files.workspace, with_weights=False)
        if self._base is None or config.method in _UNTRAINED:
            return
        with self._check():
            import_libraries(run)
            self._encode(self._base)
        with self._check():
            self._require_modules(self._base)
        with self._check():
            self._estimate = self._estimated(self._base)
            self._require_space()

    @contextmanager
    def _check(self) -> Iterator[None]:
        attempt = self._run.config.job.attempt
        try:
            yield
        except Exception as error:  # whatever one check comes upon, the others are made
            failure = diagnose(error)
            if failure is None:
                traceback.print_exc()
            else:
                print(f"{failure.code}: {failure.message}. {failure.hint}".rstrip(), flush=True)
            self.failures.append(
                failed_result(failure, attempt, 0) if failure is not None else fault_result(error, attempt, 0)
            )

    def _require_start(self) -> None:
        run, start = self._run, self._run.config.start
        if start is None:
            return
        if run.config.method is Method.MERGE:
            find_adapter(run, start)
        elif start.adapter_path is not None:
            published_adapter(run.files.workspace, start.adapter_path)
        else:
            find_start(run.files, start, run.progress.warn)

    def _encode(self, base: BaseModel) -> None:
        """Each example through tokenizer and template, as the training will do it; the rows are not kept."""
        if self._dataset is None:
            return
        run = self._run
        method = method_of(run.config)
        tokenizer = load_template_tokenizer(run, base)
        for part, examples in (("training", self._dataset.train), ("evaluation", self._dataset.evaluation)):
            encoder = method.encoder(tokenizer)
            encode(run, part, examples, encoder, method.max_length, lambda rows: sum(1 for _ in rows) or None)
            if part == "training":
                self._tokens = token_statistics(encoder.notes.lengths, method.max_length)

    def _require_modules(self, base: BaseModel) -> None:
        """The adapter on the model's layers, without their weights."""
        adapter, start = self._run.config.adapter, self._run.config.start
        if adapter.type is AdapterType.NONE or (start is not None and start.adapter_path is not None):
            return
        add_adapter(load_skeleton(base), adapter)

    def _estimated(self, base: BaseModel) -> JobEstimate | None:
        tokens = self._tokens
        known = KnownFacts()
        if tokens is not None and tokens.example_count:
            known = KnownFacts(
                examples=tokens.example_count,
                mean_length=tokens.token_count / tokens.example_count,
                longest=tokens.max,
            )
        try:
            return estimate_run(self._run.config, base, known)
        except EstimateError as error:
            self._run.progress.warn(f"no estimate of memory: {error}")
            return None

    def _require_space(self) -> None:
        if self._estimate is None:
            return
        needed = needed_bytes(self._run.config, self._estimate)
        free = shutil.disk_usage(self._run.files.workspace).free
        if free < needed:
            message = (
                f"the workspace has {free / _GIB:.1f} GiB free; checkpoints and result need about "
                f"{needed / _GIB:.1f} GiB"
            )
            raise TrainerFailure(ExitCode.DISK, message, DISK_HINT)


def _severity(result: RunResult) -> int:
    return SEVERITY.index(result.exit_code) if result.exit_code in SEVERITY else len(SEVERITY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
