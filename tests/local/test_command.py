"""The `fettle` command in processes of its own: interrupted, killed, and beside a running engine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.support.scripted_job import scripted_job


def process(*arguments: object, home: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from fettle_local.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "FETTLE_HOME": str(home)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def steps_done(home: Path) -> int:
    files = list(home.glob("workspace/jobs/*/done"))
    return int(files[0].read_text() or 0) if files else 0


def test_ctrl_c_stops_and_the_same_command_continues(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "job.yaml"
    file.write_text(scripted_job(steps=40, seconds=0.1))
    first = process("run", file, home=home)
    wait_for(lambda: steps_done(home) >= 2)
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 130, output
    assert f"Continue with: fettle run {file}" in output
    done = steps_done(home)
    time.sleep(0.5)
    assert steps_done(home) == done
    second = process("run", file, home=home)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output
    assert "unchanged" in output
    log = "".join(path.read_text() for path in home.glob("pods/*/log.txt"))
    assert f"step 40 from {done}" in log


def test_a_killed_run_is_continued_by_the_same_command(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "job.yaml"
    file.write_text(scripted_job(steps=40, seconds=0.1))
    first = process("run", file, home=home)
    wait_for(lambda: steps_done(home) >= 2)
    first.kill()
    first.communicate(timeout=60)
    second = process("run", file, home=home)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output
    assert steps_done(home) == 40


def test_run_only_follows_where_an_engine_is_running(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "job.yaml"
    file.write_text(scripted_job(steps=20, seconds=0.1))
    engine = process("up", "--no-api", home=home)
    try:
        wait_for(lambda: (home / "engine.lock").exists() and bool((home / "engine.lock").read_text()))
        rival = process("up", "--no-api", home=home)
        output, _ = rival.communicate(timeout=60)
        assert rival.returncode == 1
        assert f"another engine (pid {engine.pid})" in output
        follower = process("run", file, home=home)
        wait_for(lambda: steps_done(home) >= 2)
        follower.send_signal(signal.SIGINT)
        output, _ = follower.communicate(timeout=60)
        assert follower.returncode == 130
        assert "The job goes on" in output
        again = process("run", file, home=home)
        output, _ = again.communicate(timeout=60)
        assert again.returncode == 0, output
    finally:
        engine.send_signal(signal.SIGTERM)
        output, _ = engine.communicate(timeout=60)
    assert engine.returncode == 0, output


def test_up_serves_the_facade_on_loopback(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "job.yaml"
    file.write_text(scripted_job())
    engine = process("up", "--port", 0, "--dialect-port", "ainode=0", home=home)
    try:
        assert engine.stdout is not None
        addresses: dict[str, str] = {}
        while len(addresses) < 2:
            name, _, address = engine.stdout.readline().strip().partition(": ")
            if address.startswith("http://127.0.0.1:"):
                addresses[name] = address
        assert httpx.get(f"{addresses['main']}/healthz", timeout=30).status_code == 200
        done = process("run", file, home=home)
        output, _ = done.communicate(timeout=60)
        assert done.returncode == 0, output
        (job,) = httpx.get(f"{addresses['ainode']}/api/training/jobs", timeout=30).json()["jobs"]
        assert job["status"] == "completed"
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.communicate(timeout=60)
    assert engine.returncode == 0
