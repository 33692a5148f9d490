"""The supervisor as a process: what each end of the training process becomes."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fettle_schema.run import RunResult
from tests.support.runs import RunFiles, environment, finish_run, run_config, start_run, write_run

WRITE_EVENT = """
import json, sys, time
config = json.load(open(sys.argv[1]))
def event(**fields):
    line = {"time": "2026-01-01T00:00:00Z", "attempt": config["job"]["attempt"], **fields}
    with open("metrics.jsonl", "a") as file:
        file.write(json.dumps(line) + "\\n")
"""

EXITS = {
    0: (0, None),
    64: (64, "ConfigurationInvalid"),
    65: (65, "DatasetInvalid"),
    66: (66, "ModelUnavailable"),
    67: (67, "DiskFull"),
    70: (70, "OutOfMemory"),
    71: (71, "LossNotFinite"),
    75: (75, "InfrastructureError"),
    85: (85, None),
    137: (137, "OutOfMemoryKilled"),
    1: (1, "TrainerError"),
    3: (3, "TrainerError"),
}


@pytest.mark.parametrize("status", EXITS)
def test_exit_code_of_the_process_is_the_verdict(scripted: Callable[..., RunFiles], status: int) -> None:
    files = scripted(f"import sys; print('the last words'); sys.exit({status})")

    code, failure = EXITS[status]
    assert finish_run(files) == code
    result = RunResult.model_validate(files.termination())
    assert result.exit_code == code
    assert (result.failure.code if result.failure else None) == failure
    assert result == RunResult.model_validate(files.result())
    if failure is not None:
        assert result.failure is not None
        assert result.failure.message
        assert result.failure.hint


def test_unknown_failure_quotes_the_end_of_the_log(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("print('before'); raise LookupError('no such thing')")

    assert finish_run(files) == 1
    message = files.termination()["failure"]["message"]
    assert "before" in message
    assert "LookupError: no such thing" in message


@pytest.mark.parametrize(
    ("number", "code", "failure"),
    [
        (signal.SIGKILL, 137, "OutOfMemoryKilled"),
        (signal.SIGSEGV, 75, "InfrastructureError"),
        (signal.SIGTERM, 75, "InfrastructureError"),
    ],
)
def test_process_that_died_by_a_signal(
    scripted: Callable[..., RunFiles], number: signal.Signals, code: int, failure: str
) -> None:
    files = scripted(f"import os; os.kill(os.getpid(), {number.value})")

    assert finish_run(files) == code
    assert files.termination()["failure"]["code"] == failure


def test_result_of_the_process_is_delivered(scripted: Callable[..., RunFiles]) -> None:
    files = scripted(
        "import json, sys\n"
        "json.dump({'exitCode': 71, 'step': 7, 'failure': {'code': 'LossNotFinite', 'message': 'm'}},"
        " open('attempts/1/result.json', 'w'))\n"
        "sys.exit(71)"
    )

    assert finish_run(files) == 71
    assert files.termination()["step"] == 7


def test_result_of_an_earlier_run_of_the_attempt_is_not_believed(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("import sys; sys.exit(65)")
    attempt = files.directory / "attempts" / "1"
    attempt.mkdir(parents=True)
    (attempt / "result.json").write_text('{"exitCode": 0}')

    assert finish_run(files) == 65


def test_termination_message_is_cut_to_4096_bytes(scripted: Callable[..., RunFiles]) -> None:
    result = {
        "exitCode": 65,
        "failure": {"code": "DatasetInvalid", "message": "ä" * 4096, "hint": "日" * 4096},
        "warnings": ["w" * 1000] * 20,
    }
    files = scripted(f"import json, sys; json.dump({result!r}, open('attempts/1/result.json', 'w')); sys.exit(65)")

    assert finish_run(files) == 65
    message = RunResult.model_validate(files.termination())
    assert message.failure is not None
    assert message.failure.message.startswith("ää")
    assert message.failure.hint.startswith("日日")
    assert files.result()["warnings"] == result["warnings"]


def test_log_has_times_and_grows_over_attempts(scripted: Callable[..., RunFiles]) -> None:
    finish_run(scripted("import sys; print('out'); print('10%\\r20%', flush=True); print('err', file=sys.stderr)"))
    files = scripted("print('again', end='')", job={"attempt": 2})
    finish_run(files)

    lines = files.log().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
    assert [line.partition(" ")[2] for line in lines] == ["out", "20%", "err", "again"]


def test_a_flood_of_output_is_kept_whole(scripted: Callable[..., RunFiles]) -> None:
    files = scripted(
        "import sys\nfor i in range(20000): print(i)\nsys.stdout.buffer.write(b'\\xff\\xfe' + b'x' * 300000)"
    )

    assert finish_run(files) == 0
    lines = files.log().splitlines()
    assert lines[19999].endswith(" 19999")
    assert sum(line.count("x") for line in lines) == 300000


def test_sigterm_is_forwarded_and_a_checkpoint_gives_85(scripted: Callable[..., RunFiles]) -> None:
    files = scripted(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *a: sys.exit(85))\n"
        "open('ready', 'w')\n"
        "time.sleep(60)"
    )

    assert stop_when_ready(files, signal.SIGTERM) == 85
    assert "failure" not in files.termination()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_that_ends_without_a_checkpoint_is_retried(scripted: Callable[..., RunFiles], number: int) -> None:
    files = scripted("import time; open('ready', 'w'); time.sleep(60)")

    assert stop_when_ready(files, number) == 75
    assert "before it could save a checkpoint" in files.termination()["failure"]["message"]


def test_process_that_ignores_sigterm_is_killed_within_the_grace_period(scripted: Callable[..., RunFiles]) -> None:
    files = scripted(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('ready', 'w')\ntime.sleep(60)",
        limits={"terminationGracePeriodSeconds": 2},
    )

    assert stop_when_ready(files, signal.SIGTERM) == 75
    assert "did not stop in time" in files.log()


def test_run_without_a_first_step_is_stalled_after_the_startup_timeout(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("import time; time.sleep(60)", limits={"startupTimeoutSeconds": 1, "stallTimeoutSeconds": 600})

    assert finish_run(files) == 75
    assert files.termination()["failure"]["code"] == "Stalled"


def test_run_that_stops_stepping_is_stalled_after_the_stall_timeout(scripted: Callable[..., RunFiles]) -> None:
    files = scripted(
        WRITE_EVENT + "event(kind='step', step=4)\nwhile True:\n time.sleep(.1)\n event(kind='step', step=4)",
        limits={"startupTimeoutSeconds": 600, "stallTimeoutSeconds": 1},
    )

    assert finish_run(files) == 75
    assert files.termination()["failure"]["code"] == "Stalled"
    assert files.termination()["step"] == 4


def test_run_that_moves_is_not_stalled(scripted: Callable[..., RunFiles]) -> None:
    files = scripted(
        WRITE_EVENT
        + "for size in range(4): event(kind='stage', stage='loading_model', loadedBytes=size); time.sleep(.5)\n"
        + "for step in range(4): event(kind='step', step=step); time.sleep(.5)",
        limits={"startupTimeoutSeconds": 1.5, "stallTimeoutSeconds": 1.5},
    )

    assert finish_run(files) == 0
    assert files.termination()["step"] == 3


def test_end_is_an_event(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("import sys; sys.exit(65)")

    finish_run(files)
    assert [event["kind"] for event in files.events()] == ["end"]


def test_orphans_are_killed_and_do_not_keep_the_run_open(scripted: Callable[..., RunFiles]) -> None:
    files = scripted(
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "open('orphan', 'w').write(str(p.pid))"
    )

    begin = time.monotonic()
    assert finish_run(files) == 0
    assert time.monotonic() - begin < 30
    assert not Path("/proc", (files.directory / "orphan").read_text()).exists()


def test_process_dies_with_the_supervisor(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("import os, time; open('ready', 'w').write(str(os.getpid())); time.sleep(60)")
    process = start_run(files)
    pid = Path("/proc", wait_for(files.directory / "ready", process))
    process.kill()
    process.wait()

    deadline = time.monotonic() + 20
    while pid.exists() and "State:\tZ" not in (pid / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_second_run_of_a_job_waits_and_gives_up(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("import time; open('ready', 'w').write('1'); time.sleep(60)")
    first = start_run(files)
    try:
        wait_for(files.directory / "ready", first)
        second = write_run(files.workspace, run_config(job={"attempt": 2}))
        assert finish_run(second) == 75
        assert "another run of this job" in second.termination()["failure"]["message"]
    finally:
        first.terminate()
        first.wait()


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("{", "run.json"),
        ("[]", "run.json"),
        (json.dumps({"job": {"attempt": 1}}), "run.json"),
        (json.dumps(run_config(directory="../elsewhere")), "directory"),
        (json.dumps(run_config(directory="/tmp/elsewhere")), "directory"),
        (json.dumps(run_config(command=["/no/such/program"])), "command"),
    ],
)
def test_run_config_that_cannot_be_followed_is_64(tmp_path: Path, content: str, field: str) -> None:
    files = write_run(tmp_path / "workspace", run_config())
    files.run_file.write_text(content)

    assert finish_run(files) == 64
    assert field in files.termination()["failure"]["message"]


def test_missing_workspace_setting_is_64(tmp_path: Path) -> None:
    files = write_run(tmp_path / "workspace", run_config())

    assert finish_run(files, FETTLE_WORKSPACE="") == 64
    assert "FETTLE_WORKSPACE" in files.termination()["failure"]["message"]


def test_copy_of_the_run_config_lies_in_the_job_directory(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("")

    finish_run(files)
    assert json.loads((files.directory / "run.json").read_text()) == json.loads(files.run_file.read_text())


def test_supervisor_imports_nothing_heavy() -> None:
    heavy = "('pydantic', 'torch', 'urllib.request')"
    code = f"import sys, fettle_trainer.supervisor; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert printed.stdout.strip() == "[]"


def test_full_disk_ends_the_run_with_67(scripted: Callable[..., RunFiles], small_disk: Path) -> None:
    code = "import time\nwhile True: print('x' * 100000, flush=True)"
    script = small_disk.parent / "flood.py"
    script.write_text(code)
    files = write_run(small_disk, run_config(command=[sys.executable, str(script)]))

    assert finish_run(files) == 67
    assert files.termination()["failure"]["code"] == "DiskFull"


def stop_when_ready(files: RunFiles, number: int) -> int:
    process = start_run(files)
    wait_for(files.directory / "ready", process)
    process.send_signal(number)
    return process.wait(60)


def wait_for(path: Path, process: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


def test_environment_reaches_the_process(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("import os; print(os.environ['HF_HOME'], os.environ['OMP_WAIT_POLICY'], os.environ['OWN'])")
    given = environment(files)

    assert finish_run(files, HF_HOME="", OMP_WAIT_POLICY="", OWN="yes") == 0
    assert f"{files.workspace}/huggingface PASSIVE yes" in files.log()
    assert given["FETTLE_WORKSPACE"] == str(files.workspace)
