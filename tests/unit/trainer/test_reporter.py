"""Progress posts: what reaches a receiver, and that a bad one never holds a run up."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.runs import RunFiles, finish_run

STEPS = """
import json, sys, time
def event(**fields):
    with open("metrics.jsonl", "a") as file:
        file.write(json.dumps({"time": "2026-01-01T00:00:00Z", "attempt": 1, **fields}) + "\\n")
event(kind="stage", stage="training")
for step in range(1, 41):
    event(kind="step", step=step)
    time.sleep(0.05)
event(kind="checkpoint", step=40)
"""


@dataclass
class Receiver:
    """A progress receiver; `status` and `delay_seconds` make it a bad one."""

    url: str = ""
    status: int = 204
    delay_seconds: float = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(state.delay_seconds)
            state.bodies.append(json.loads(body))
            state.tokens.append(self.headers["Authorization"])
            self.send_response(state.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/progress/v1/namespaces/default/trainingjobs/demo/attempts/1"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_events_are_posted_with_the_token_and_steps_are_coalesced(
    scripted: Callable[..., RunFiles], receiver: Receiver
) -> None:
    files = scripted(STEPS)
    token = files.workspace.parent / "token"
    token.write_text("first\n")

    assert finish_run(files, FETTLE_PROGRESS_URL=receiver.url, FETTLE_PROGRESS_TOKEN_FILE=str(token)) == 0
    kinds = [body["kind"] for body in receiver.bodies]
    assert kinds[0] == "stage"
    assert kinds[-2:] == ["checkpoint", "end"]
    assert 1 < kinds.count("step") < 20
    assert [body["step"] for body in receiver.bodies if body["kind"] == "step"][-1] == 40
    assert set(receiver.tokens) == {"Bearer first"}


def test_token_is_read_anew_for_each_post(scripted: Callable[..., RunFiles], receiver: Receiver) -> None:
    files = scripted(STEPS + "open(sys.argv[1].replace('run.json', 'token'), 'w').write('second')\nevent(kind='stage')")
    token = files.run_file.with_name("token")
    token.write_text("first")

    finish_run(files, FETTLE_PROGRESS_URL=receiver.url, FETTLE_PROGRESS_TOKEN_FILE=str(token))
    assert receiver.tokens[0] == "Bearer first"
    assert receiver.tokens[-1] == "Bearer second"


@pytest.mark.parametrize(("status", "delay_seconds"), [(204, 5), (503, 0), (403, 0), (429, 0)])
def test_bad_receiver_neither_slows_nor_ends_the_run(
    scripted: Callable[..., RunFiles], receiver: Receiver, status: int, delay_seconds: float
) -> None:
    receiver.status, receiver.delay_seconds = status, delay_seconds
    files = scripted(STEPS)

    begin = time.monotonic()
    assert finish_run(files, FETTLE_PROGRESS_URL=receiver.url) == 0
    assert time.monotonic() - begin < 30
    assert files.log().count("the run continues") <= 1  # a slow one may be noticed only when the log is closed


def test_dead_receiver_is_named_once(scripted: Callable[..., RunFiles]) -> None:
    files = scripted(STEPS)

    assert finish_run(files, FETTLE_PROGRESS_URL="http://127.0.0.1:1/progress") == 0
    assert files.log().count("cannot be reached") == 1


def test_url_of_another_scheme_is_refused(scripted: Callable[..., RunFiles]) -> None:
    files = scripted("")

    assert finish_run(files, FETTLE_PROGRESS_URL="file:///etc/passwd") == 64
    assert "FETTLE_PROGRESS_URL" in files.termination()["failure"]["message"]
