"""What the end of the training process means. Pure; results are RunResult as JSON values: pydantic stays out."""

import json
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fettle_schema.vocabulary import FAILURE_OF_EXIT, SEVERITY, ExitCode, FailureCode
from fettle_trainer.failures import DISK_HINT, MEMORY_HINT, NON_FINITE_HINT, TrainerFailure

MAX_TERMINATION_MESSAGE_BYTES = 4096
KILLED = 128 + signal.SIGKILL
RESTART = 76
"""Exit code between training process and supervisor only: start it again, it goes on from what it left."""

_HINTS: dict[int, str] = {
    ExitCode.CONFIGURATION: "The log names the setting; correct the TrainingJob and create it again.",
    ExitCode.DATASET: "The log and findings.json name the rows; correct the dataset and create the job again.",
    ExitCode.MODEL: "Check spec.baseModel, the network and the token in spec.credentials.secretName.",
    ExitCode.DISK: DISK_HINT,
    ExitCode.OUT_OF_MEMORY: MEMORY_HINT,
    ExitCode.NON_FINITE: NON_FINITE_HINT,
    ExitCode.RETRY: "Look at the end of the log and at the events of the pod.",
}


@dataclass(frozen=True)
class Ending:
    """How the training process ended, as its supervisor saw it."""

    exit_status: int | None
    death_signal: int | None
    result: dict[str, Any] | None = None
    """The RunResult that it left, if any."""
    step: int = 0
    last_lines: tuple[str, ...] = ()
    is_own_trainer: bool = True
    """False for a command that replaces it, which owes no RunResult."""
    was_asked_to_stop: bool = False
    stalled_seconds: float | None = None
    """Set when the supervisor killed it for want of progress."""
    has_disk_full: bool = False
    """The log could no longer be written."""


def conclude(ending: Ending) -> dict[str, Any]:
    """The RunResult of the attempt."""
    if ending.result is not None:
        return ending.result
    if ending.stalled_seconds is not None:
        return _stalled(ending)
    if ending.has_disk_full:
        return _disk_full(ending)
    if ending.death_signal is not None:
        return _killed(ending)
    return _exited(ending)


def conclude_several(ending: Ending, results: Mapping[int, dict[str, Any]], own_ranks: range) -> dict[str, Any]:
    """The same for several processes: the worst of what they left in `results`, by rank.

    A process of this node that left nothing was killed, by us or from outside; of other nodes we may just not know.
    """
    results = {rank: result for rank, result in results.items() if result["exitCode"] != RESTART}
    missing = [rank for rank in own_ranks if rank not in results]
    codes = [int(result["exitCode"]) for result in results.values()]
    worst = worst_exit_code([*codes, *(ExitCode.RETRY for _ in missing)])
    if missing and worst == ExitCode.RETRY:
        return _lost(ending, missing)
    return next(results[rank] for rank in sorted(results) if results[rank]["exitCode"] == worst)


def wants_restart(results: Mapping[int, dict[str, Any]]) -> bool:
    """Whether one of several processes asks for a restart and none has failed for good."""
    codes = {int(result["exitCode"]) for result in results.values()}
    return RESTART in codes and codes.isdisjoint(code for code in ExitCode if code.is_final)


def worst_exit_code(codes: Iterable[int]) -> int:
    """The verdict over several processes: the first of SEVERITY that occurred, else any other failure, else 85 or 0."""
    found = set(codes)
    for code in SEVERITY:
        if code in found:
            return int(code)
    others = found - {ExitCode.DONE, ExitCode.CHECKPOINTED}
    if others:
        return min(others)
    return int(ExitCode.CHECKPOINTED if ExitCode.CHECKPOINTED in found else ExitCode.DONE)


def failure_result(failure: TrainerFailure, step: int = 0) -> dict[str, Any]:
    """The RunResult of a run that `failure` ended."""
    return _result(failure.exit_code, str(failure.code), failure.message, failure.hint, step)


def termination_message(result: dict[str, Any]) -> str:
    """`result` as JSON of at most 4096 bytes: what matters least is left out first, texts are cut last."""
    short = dict(result)
    for field in ("warnings", "targetModules", "metrics"):
        if _size(short) <= MAX_TERMINATION_MESSAGE_BYTES:
            break
        short.pop(field, None)
    limit = 2000
    while _size(short) > MAX_TERMINATION_MESSAGE_BYTES and limit > 10:
        failure = short.get("failure") or {}
        texts = {key: _cut(failure[key], limit) for key in ("message", "hint") if failure.get(key)}
        short["failure"] = {**failure, **texts}
        limit = limit * 2 // 3
    return _dump(short)


def _exited(ending: Ending) -> dict[str, Any]:
    status = ending.exit_status or 0
    if status == ExitCode.DONE and ending.is_own_trainer:
        return _result(1, FailureCode.TRAINER_ERROR, "the trainer ended without a result", "See log.txt.", ending.step)
    if status in (ExitCode.DONE, ExitCode.CHECKPOINTED):
        return {"exitCode": status, "step": ending.step}
    if status == KILLED:
        return _out_of_memory_killed(ending)
    if status in FAILURE_OF_EXIT:
        code = ExitCode(status)
        return _failed(ending, code, _with_log(f"the training process ended with exit code {status}", ending))
    if ending.was_asked_to_stop:
        return _stopped(ending)
    message = _with_log(f"the training process ended with exit code {status}", ending)
    hint = "The end of the log shows where; the whole is in log.txt of the job's directory."
    return _result(status, FailureCode.TRAINER_ERROR, message, hint, ending.step)


def _killed(ending: Ending) -> dict[str, Any]:
    number = ending.death_signal or 0
    if ending.was_asked_to_stop:
        return _stopped(ending)
    if number == signal.SIGKILL:
        return _out_of_memory_killed(ending)
    message = _with_log(f"the training process was ended by {_signal_name(number)}", ending)
    return _failed(ending, ExitCode.RETRY, message)


def _lost(ending: Ending, ranks: list[int]) -> dict[str, Any]:
    if ending.stalled_seconds is not None:
        return _stalled(ending)
    if ending.has_disk_full:
        return _disk_full(ending)
    if ending.was_asked_to_stop:
        return _stopped(ending)
    which = ", ".join(map(str, ranks))
    message = f"training process {which} ended without a word: it was killed from outside or crashed"
    hint = f"{_HINTS[ExitCode.RETRY]} If it happens again, it may be for want of memory. {MEMORY_HINT}"
    return _failed(ending, ExitCode.RETRY, _with_log(message, ending), hint)


def _stopped(ending: Ending) -> dict[str, Any]:
    message = "the run was asked to stop and ended before it could save a checkpoint"
    return _failed(ending, ExitCode.RETRY, message, "It continues from the last checkpoint before, if there is one.")


def _out_of_memory_killed(ending: Ending) -> dict[str, Any]:
    message = "the training process was killed from outside, most likely because the pod or machine ran out of memory"
    return _result(KILLED, FailureCode.OUT_OF_MEMORY_KILLED, message, MEMORY_HINT, ending.step)


def _disk_full(ending: Ending) -> dict[str, Any]:
    return _failed(ending, ExitCode.DISK, "the disk of the workspace is full: the log cannot be written", DISK_HINT)


def _stalled(ending: Ending) -> dict[str, Any]:
    message = f"no progress for {ending.stalled_seconds:.0f} s at step {ending.step}; the training process was killed"
    hint = (
        "Look at the end of the log. If steps are really this slow, raise "
        "spec.limits.stallTimeoutSeconds (before the first step: startupTimeoutSeconds)."
    )
    return _result(ExitCode.RETRY, FailureCode.STALLED, message, hint, ending.step)


def _failed(ending: Ending, code: ExitCode, message: str, hint: str | None = None) -> dict[str, Any]:
    return _result(code, FAILURE_OF_EXIT[code], message, _HINTS[code] if hint is None else hint, ending.step)


def _result(exit_code: int, code: str, message: str, hint: str, step: int) -> dict[str, Any]:
    failure = {"code": str(code), "message": _cut(message, 4096), "hint": _cut(hint, 4096), "exitCode": int(exit_code)}
    return {"exitCode": int(exit_code), "step": step, "failure": failure}


def _with_log(message: str, ending: Ending) -> str:
    lines = "\n".join(ending.last_lines)
    return f"{message}; its last lines:\n{lines[-3000:]}" if lines else message


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 2] + " …"


def _dump(result: dict[str, Any]) -> str:
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"))


def _size(result: dict[str, Any]) -> int:
    return len(_dump(result).encode())
