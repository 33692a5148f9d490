"""The `fettle` command in processes of its own: interrupted, killed, and beside a running engine."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.support.local_home import fettle, running_up
from tests.support.scripted_job import scripted_job


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
    first = fettle(home, "run", file)
    wait_for(lambda: steps_done(home) >= 2)
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 130, output
    assert f"Continue with: fettle run {file}" in output
    done = steps_done(home)
    time.sleep(0.5)
    assert steps_done(home) == done
    second = fettle(home, "run", file)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output
    assert "unchanged" in output
    log = "".join(path.read_text() for path in home.glob("pods/*/log.txt"))
    assert f"step 40 from {done}" in log


def test_a_killed_run_is_continued_by_the_same_command(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "job.yaml"
    file.write_text(scripted_job(steps=40, seconds=0.1))
    first = fettle(home, "run", file)
    wait_for(lambda: steps_done(home) >= 2)
    first.kill()
    first.communicate(timeout=60)
    second = fettle(home, "run", file)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output
    assert steps_done(home) == 40


def test_run_only_follows_where_an_engine_is_running(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "job.yaml"
    file.write_text(scripted_job(steps=20, seconds=0.1))
    engine = fettle(home, "up", "--no-api")
    try:
        wait_for(lambda: (home / "engine.lock").exists() and bool((home / "engine.lock").read_text()))
        rival = fettle(home, "up", "--no-api")
        output, _ = rival.communicate(timeout=60)
        assert rival.returncode == 1
        assert f"another engine (pid {engine.pid})" in output
        follower = fettle(home, "run", file)
        wait_for(lambda: steps_done(home) >= 2)
        follower.send_signal(signal.SIGINT)
        output, _ = follower.communicate(timeout=60)
        assert follower.returncode == 130
        assert "The job goes on" in output
        again = fettle(home, "run", file)
        output, _ = again.communicate(timeout=60)
        assert again.returncode == 0, output
    finally:
        engine.send_signal(signal.SIGTERM)
        output, _ = engine.communicate(timeout=60)
    assert engine.returncode == 0, output


def test_up_serves_the_facade_on_loopback(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "job.yaml"
    file.write_text(scripted_job())
    with running_up(home, "ainode") as urls:
        assert httpx.get(f"{urls['main']}/healthz", timeout=30).status_code == 200
        done = fettle(home, "run", file)
        output, _ = done.communicate(timeout=60)
        assert done.returncode == 0, output
        (job,) = httpx.get(f"{urls['ainode']}/api/training/jobs", timeout=30).json()["jobs"]
        assert job["status"] == "completed"


def test_up_refuses_what_only_a_cluster_can_answer(tmp_path: Path) -> None:
    engine = fettle(tmp_path / "home", "up", "--port", 0, FETTLE_API_AUTHENTICATION="token")
    output, _ = engine.communicate(timeout=60)
    assert engine.returncode == 2
    assert "FETTLE_API_AUTHENTICATION=token asks a cluster who may call; here it is none or apikey" in output
