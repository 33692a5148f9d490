"""Watches the training process, or torchrun with several: signals, log, progress, stalls, verdict. Runs as PID 1 and
starts in milliseconds.

It imports the standard library and constants of the contract only, and it knows nothing of training.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fettle_schema import names
from fettle_schema.layout import HUGGING_FACE_HOME
from fettle_schema.vocabulary import ExitCode
from fettle_trainer import child_process
from fettle_trainer.atomic_file import write_json
from fettle_trainer.claim import claim_directory
from fettle_trainer.failures import TrainerFailure, configuration_failure, disk_failure, is_disk_full
from fettle_trainer.job_files import JobFiles, job_files
from fettle_trainer.launch import Launch, launch_environment, plan_launch, training_command
from fettle_trainer.log_tee import LogTee
from fettle_trainer.metrics_tail import MetricsTail
from fettle_trainer.rank_results import (
    are_orderly,
    clear_results,
    have_left,
    read_results,
    results_directory,
    wait_for_directory,
    wait_for_results,
)
from fettle_trainer.stall import StallWatch
from fettle_trainer.verdict import (
    RESTART,
    Ending,
    conclude,
    conclude_several,
    failure_result,
    termination_message,
    wants_restart,
)

if TYPE_CHECKING:
    from fettle_trainer.reporter import Reporter

POLL_SECONDS = 0.25
FINAL_POST_SECONDS = 3.0
OUTPUT_DRAIN_SECONDS = 3.0
OTHER_NODES_SECONDS = 10.0
"""How long the processes of other nodes may take to say why they ended."""
MAX_RESTARTS = 16
"""A micro-batch of 4096 examples is halved 12 times."""


@dataclass(frozen=True)
class Settings:
    """What the supervisor takes from its environment."""

    workspace: Path
    termination_message_path: Path | None
    progress_url: str | None
    progress_token_file: Path | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """TrainerFailure if the workspace is not given."""
        workspace = environment.get(names.ENV_WORKSPACE)
        if not workspace:
            raise configuration_failure(names.ENV_WORKSPACE, "is not set", "It is the directory of the workspace.")
        url = environment.get(names.ENV_PROGRESS_URL) or None
        if url is not None and not url.startswith(("http://", "https://")):
            raise configuration_failure(names.ENV_PROGRESS_URL, "must begin with http:// or https://")
        token_file = environment.get(names.ENV_PROGRESS_TOKEN_FILE)
        return cls(Path(workspace), message_path(environment), url, Path(token_file) if token_file else None)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Supervise the run that the file in `arguments` describes; its exit code."""
    try:
        if len(arguments) != 1:
            raise configuration_failure("usage", "python -m fettle_trainer RUN_JSON")
        settings = Settings.from_environment(environment)
        run_file = Path(arguments[0]).absolute()
        config = read_run_config(run_file)
        launch = plan_launch(config, environment)
        files = prepare_files(settings.workspace, config, launch)
        name = files.lock.name if launch.is_first_node else f"{files.lock.name}-{launch.node}"
        lock = claim_directory(files.directory / name, warn=lambda message: print(f"fettle: {message}", flush=True))
        return Supervisor(settings, run_file, config, files, launch, lock).run(environment)
    except TrainerFailure as failure:
        print(f"fettle: {failure.message}. {failure.hint}".rstrip(), file=sys.stderr, flush=True)
        deliver(failure_result(failure), message_path(environment))
        return int(failure.exit_code)
    except OSError as error:
        if not is_disk_full(error):
            raise
        deliver(failure_result(disk_failure(error, "write the log")), message_path(environment))
        return int(ExitCode.DISK)


def message_path(environment: Mapping[str, str]) -> Path | None:
    """Where the kubelet, or whoever stands in for it, looks for the last words of a container."""
    path = environment.get(names.ENV_TERMINATION_MESSAGE_PATH)
    return Path(path) if path else None


def read_run_config(path: Path) -> dict[str, Any]:
    """`run.json` as JSON values; only what the supervisor itself needs is checked, the child checks the rest."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config["job"]["attempt"] = int(config["job"]["attempt"])
        config["directory"] = str(config["directory"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise configuration_failure(path.name, f"is not a readable RunConfig ({what})") from error
    assert isinstance(config, dict)
    return config


def prepare_files(workspace: Path, config: dict[str, Any], launch: Launch) -> JobFiles:
    """Make the attempt's directory and leave a copy of the RunConfig in the job's."""
    try:
        files = job_files(workspace, config["directory"], config["job"]["attempt"])
    except ValueError as error:
        raise configuration_failure("directory", str(error)) from error
    try:
        files.attempt_directory.mkdir(parents=True, exist_ok=True)
        if launch.is_first_node:
            write_json(files.run, config)
            files.result.unlink(missing_ok=True)
    except OSError as error:
        if is_disk_full(error):
            raise disk_failure(error, "prepare the job's directory") from error
        message = f"cannot write to the workspace: {error}"
        raise TrainerFailure(ExitCode.RETRY, message, "Check the volume and who may write to it.") from error
    return files


def deliver(result: dict[str, Any], path: Path | None) -> None:
    """Write the termination message. It is a mounted file, so it cannot be replaced by a rename."""
    if path is not None:
        with contextlib.suppress(OSError):
            path.write_text(termination_message(result), encoding="utf-8")


class Supervisor:
    """The training processes of one node from start to verdict."""

    def __init__(
        self, settings: Settings, run_file: Path, config: dict[str, Any], files: JobFiles, launch: Launch, lock: int
    ) -> None:
        self._settings = settings
        self._run_file = run_file
        self._config = config
        self._files = files
        self._launch = launch
        self._lock = lock
        self._attempt: int = config["job"]["attempt"]
        self._limits = config.get("limits") or {}
        grace_seconds = float(self._limits.get("terminationGracePeriodSeconds") or 120)
        # Before whoever asked loses patience, so that the verdict still gets out.
        self._stop_seconds = max(grace_seconds - 5, grace_seconds / 2)
        self._stall = self._new_stall_watch()
        # Appending from two machines to one file of a network file system loses lines.
        log = files.log if launch.is_first_node else files.log.with_stem(f"{files.log.stem}-node-{launch.node}")
        self._log = LogTee(log, sys.stdout)
        self._tail = MetricsTail(files.metrics, self._attempt)
        self._reporter: Reporter | None = None
        self._step = 0
        self._stop_signal: int | None = None
        self._stop_deadline: float | None = None
        self._stalled_seconds: float | None = None
        self._has_disk_full = False

    def run(self, environment: Mapping[str, str]) -> int:
        """Start the process, again if it asks for that, and leave the verdict everywhere it is looked for."""
        wake = self._catch_signals()
        restart, result = 0, None
        while result is None:
            result = self._run_once(environment, wake, restart)
            restart += 1
        self._log.close(OUTPUT_DRAIN_SECONDS)
        return self._finish(result)

    def _run_once(self, environment: Mapping[str, str], wake: int, restart: int) -> dict[str, Any] | None:
        """Watch the process from start to end: its RunResult, or None if it asks to be started again."""
        results = results_directory(self._files.attempt_directory, restart)
        command = training_command(self._config, self._run_file, self._launch, self._stop_seconds)
        try:
            child = self._start(command, environment, results)
        except OSError as error:
            return failure_result(_cannot_start(command, error))
        self._log.follow(child.output)
        self._stall = self._new_stall_watch()
        self._reporter = self._reporter or self._start_reporter()
        while child.status is None:
            self._wait(wake)
            child_process.reap(child)
            self._follow_progress()
            self._enforce(child)
            self._end_waiting_torchrun(child, results)
        child_process.kill_orphans(child)
        self._log.drain(OUTPUT_DRAIN_SECONDS)
        self._follow_progress()
        return self._conclude(self._ending(child), results, may_restart=restart < MAX_RESTARTS)

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], results: Path
    ) -> child_process.ChildProcess:
        if self._launch.is_several and self._launch.is_first_node:
            clear_results(results)
        elif self._launch.is_several:
            seconds = self._stall.startup_timeout_seconds
            wait_for_directory(results, seconds, is_stopped=lambda: self._stop_signal is not None)
        usual = child_environment(environment, self._settings.workspace)
        given = {**launch_environment(self._launch, results), **usual}
        return child_process.start(command, given, self._files.directory, self._lock)

    def _conclude(self, ending: Ending, directory: Path, *, may_restart: bool) -> dict[str, Any] | None:
        may_restart = may_restart and ending.is_own_trainer and not ending.was_asked_to_stop
        if not self._launch.is_several or not ending.is_own_trainer:
            asks = ending.exit_status == RESTART
            result = conclude(ending)
        else:
            results = read_results(directory)
            if self._launch.nodes > 1 and not are_orderly(results, self._launch.own_ranks):
                results = wait_for_results(directory, self._launch.count, OTHER_NODES_SECONDS)
            asks = wants_restart(results)
            result = conclude_several(ending, results, self._launch.own_ranks)
        if not (asks and may_restart):
            return result
        self._log.say("the training process is started again")
        return None

    def _end_waiting_torchrun(self, child: child_process.ChildProcess, results: Path) -> None:
        """With several nodes, torchrun waits up to 300 s for the others after its own processes have ended."""
        if self._launch.nodes > 1 and have_left(results, self._launch.own_ranks) and not child.has_children:
            child.kill_group()

    def _new_stall_watch(self) -> StallWatch:
        return StallWatch(
            float(self._limits.get("startupTimeoutSeconds") or 3600),
            float(self._limits.get("stallTimeoutSeconds") or 900),
            last_progress=time.monotonic(),
        )

    def _enforce(self, child: child_process.ChildProcess) -> None:
        now = time.monotonic()
        if child.status is not None:
            return
        if self._stop_signal is not None and self._stop_deadline is None:
            self._log.say(f"{signal.Signals(self._stop_signal).name} received; the training process is asked to stop")
            child.send(signal.SIGTERM)
            self._stop_deadline = now + self._stop_seconds
        if self._stop_deadline is not None and now >= self._stop_deadline:
            self._log.say("the training process did not stop in time and is killed")
            self._stop_deadline = float("inf")
            child.kill_group()
        if self._log.is_disk_full and not self._has_disk_full:
            self._has_disk_full = True
            child.kill_group()
        if self._stalled_seconds is None and (waited := self._stall.stalled_for(now)) is not None:
            self._stalled_seconds = waited
            self._log.say(f"no progress for {waited:.0f} s; the training process is killed")
            child.kill_group()

    def _follow_progress(self) -> None:
        for event in self._tail.read_new():
            self._stall.observe(event, time.monotonic())
            step = event.get("step")
            self._step = step if isinstance(step, int) else self._step
            if self._reporter is not None:
                self._reporter.put(event)

    def _ending(self, child: child_process.ChildProcess) -> Ending:
        return Ending(
            exit_status=child.exit_status,
            death_signal=child.death_signal,
            result=self._read_result(),
            step=self._step,
            last_lines=tuple(self._log.last_lines()),
            is_own_trainer=not self._config.get("command"),
            was_asked_to_stop=self._stop_signal is not None,
            stalled_seconds=self._stalled_seconds,
            has_disk_full=self._has_disk_full,
        )

    def _read_result(self) -> dict[str, Any] | None:
        try:
            result = json.loads(self._files.result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return result if isinstance(result, dict) and isinstance(result.get("exitCode"), int) else None

    def _finish(self, result: dict[str, Any]) -> int:
        exit_code = int(result["exitCode"])
        failure = result.get("failure") or {}
        try:
            if self._launch.is_first_node:
                write_json(self._files.result, result)
                self._append_end(result)
        except OSError as error:
            print(f"fettle: the result could not be written to the workspace: {error}", file=sys.stderr, flush=True)
        deliver(result, self._settings.termination_message_path)
        if failure:
            print(f"fettle: {failure.get('code')}: {failure.get('message')} {failure.get('hint', '')}", flush=True)
        if self._reporter is not None:
            self._reporter.close(FINAL_POST_SECONDS)
        return exit_code

    def _append_end(self, result: dict[str, Any]) -> None:
        time_text = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {"time": time_text, "attempt": self._attempt, "kind": "end", "step": result.get("step", 0)}
        if result.get("failure"):
            event["message"] = result["failure"]["message"]
        with self._files.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        if self._reporter is not None:
            self._reporter.put(event)

    def _start_reporter(self) -> "Reporter | None":
        if self._settings.progress_url is None or not self._launch.is_first_node:
            return None
        from fettle_trainer.reporter import Reporter  # urllib takes longer to import than all the rest

        return Reporter(self._settings.progress_url, self._settings.progress_token_file, self._log.say)

    def _catch_signals(self) -> int:
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        return reader

    def _note_stop(self, number: int, frame: object) -> None:
        if self._stop_signal is None:
            self._stop_signal = number

    def _wait(self, wake: int) -> None:
        if select.select([wake], [], [], POLL_SECONDS)[0]:
            os.read(wake, 4096)


def child_environment(environment: Mapping[str, str], workspace: Path) -> dict[str, str]:
    """The child's environment: what was given, and what keeps libraries quiet, offline about us and out of each
    other's way.
    """
    usual = {
        "HF_HOME": str(workspace / HUGGING_FACE_HOME),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**usual, **environment}


def _cannot_start(command: Sequence[str], error: OSError) -> TrainerFailure:
    return configuration_failure("command", f"cannot start {command[0]!r}: {error.strerror}")
