"""The proxy does to a request what it is told, and counts what reaches the server."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.faults.plan import Fault, WatchFault
from tests.faults.proxy import Faults, FaultyProxy, Upstream, Write
from tests.faults.requests import Asked
from tests.faults.watch_relay import CutError
from tests.support.faulty_api_server import FaultyApiServer, answer, stream

JOBS = "/apis/batch/v1/namespaces/n/jobs"
CREATE = {"metadata": {"name": "demo-a1"}}


class Told(Faults):
    """What the test says, to every request."""

    fault: Fault | None = None
    watch = WatchFault()
    dies: str = ""

    async def of_request(self, request: Asked, ordinal: int) -> Fault | None:
        return self.fault

    async def of_watch(self, request: Asked, ordinal: int) -> WatchFault:
        return self.watch

    async def before(self, write: Write) -> None:
        if self.dies == "before":
            raise CutError

    async def after(self, write: Write) -> None:
        if self.dies == "after":
            raise CutError


class Scene:
    """A server, the proxy before it, and a client."""

    def __init__(self, server: FaultyApiServer, told: Told, proxy: FaultyProxy, client: aiohttp.ClientSession) -> None:
        self.server, self.told, self.proxy, self.client = server, told, proxy, client

    async def create(self) -> tuple[int, str]:
        async with self.client.post(self.proxy.url + JOBS, json=CREATE) as response:
            return response.status, await response.text()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    server, told = FaultyApiServer(), Told()
    server.answers = [answer({"kind": "Job"}, 201)]
    async with server.serve(), aiohttp.ClientSession() as session, aiohttp.ClientSession() as client:
        proxy = FaultyProxy(Upstream(server.url, session, tmp_path / "kubeconfig"), told)
        async with proxy.serve():
            yield Scene(server, told, proxy, client)


async def test_without_a_fault_it_passes_everything_on_and_counts(scene: Scene) -> None:
    status, text = await scene.create()
    assert (status, text) == (201, '{"kind": "Job"}')
    assert scene.proxy.writes == {"demo": 1}
    method, _, headers = scene.server.requests[0]
    assert (method, headers["Content-Type"]) == ("POST", "application/json")


@pytest.mark.parametrize(
    ("fault", "status", "reaches_server"),
    [(Fault.CONFLICT, 409, 0), (Fault.OVERLOADED, 429, 0), (Fault.BROKEN, 500, 0), (Fault.BROKEN_ANSWER, 500, 1)],
)
async def test_a_refusal_is_worded_as_the_server_would(
    scene: Scene, fault: Fault, status: int, reaches_server: int
) -> None:
    scene.told.fault = fault
    async with scene.client.post(scene.proxy.url + JOBS, json=CREATE) as response:
        said = await response.json()
        assert (response.status, said["kind"], said["code"]) == (status, "Status", status)
        assert response.headers.get("Retry-After") == ("1" if status == 429 else None)
    assert len(scene.server.requests) == scene.proxy.writes["demo"] == reaches_server


@pytest.mark.parametrize(("fault", "reaches_server"), [(Fault.LOST_REQUEST, 0), (Fault.LOST_ANSWER, 1)])
async def test_a_connection_is_reset_before_or_after_the_server_acts(
    scene: Scene, fault: Fault, reaches_server: int
) -> None:
    scene.told.fault = fault
    with pytest.raises(aiohttp.ClientConnectionError):
        await scene.create()
    assert len(scene.server.requests) == reaches_server


@pytest.mark.parametrize(("when", "reaches_server"), [("before", 0), ("after", 1)])
async def test_who_dies_at_a_write_hears_no_answer(scene: Scene, when: str, reaches_server: int) -> None:
    scene.told.dies = when
    with pytest.raises(aiohttp.ClientConnectionError):
        await scene.create()
    assert len(scene.server.requests) == reaches_server


async def test_a_watch_is_too_old_or_passes_line_by_line(scene: Scene) -> None:
    scene.server.answers = [stream({"type": "ADDED"}, {"type": "MODIFIED"})]
    url = f"{scene.proxy.url}{JOBS}?watch=true&resourceVersion=1"
    async with scene.client.get(url) as response:
        assert await response.text() == '{"type": "ADDED"}\n{"type": "MODIFIED"}\n'
    scene.told.watch = WatchFault(is_too_old=True)
    async with scene.client.get(url) as response:
        assert (response.status, (await response.json())["reason"]) == (410, "Expired")


def test_credentials_stay_and_the_address_changes(tmp_path: Path) -> None:
    given = {
        "clusters": [{"name": "c", "cluster": {"server": "https://far", "certificate-authority": "ca.crt"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (tmp_path / "given").write_text(yaml.safe_dump(given))
    server = Upstream("https://far", None, tmp_path / "given")  # type: ignore[arg-type]
    made = yaml.safe_load(server.kubeconfig_for("http://127.0.0.1:1", tmp_path / "made").read_text())
    assert made["clusters"][0]["cluster"] == {"server": "http://127.0.0.1:1"}
    assert made["users"] == given["users"]
