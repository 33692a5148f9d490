"""Faults that a real API server cannot be asked for; everything else is tested on a real one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml

from fettle_client.connection import Timeouts
from fettle_client.kubernetes import KubernetesClient, connect
from fettle_client.protocol import (
    CONFIG_MAPS,
    ApiError,
    ConflictError,
    GoneError,
    Manifest,
    Synced,
    UnavailableError,
    WatchEvent,
)
from fettle_client.retry import RetryPolicy
from tests.support.faulty_api_server import FaultyApiServer, answer, cut, silence, status, stream

QUICK = RetryPolicy(attempts=4, first_delay_seconds=0.01, max_delay_seconds=0.05, total_seconds=20)
SHORT = Timeouts(connect_seconds=1.0, total_seconds=0.3, watch_seconds=60)


def item(name: str, version: str = "1") -> Manifest:
    return {"kind": "ConfigMap", "metadata": {"name": name, "resourceVersion": version, "uid": f"uid-of-{name}"}}


def event(event_type: str, name: str, version: str) -> dict[str, Any]:
    return {"type": event_type, "object": item(name, version)}


def error_event(code: int) -> dict[str, Any]:
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "reason": "R", "message": "m"}}


@pytest.fixture
async def server() -> AsyncIterator[FaultyApiServer]:
    server = FaultyApiServer()
    async with server.serve():
        yield server


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first")
    return path


@pytest.fixture
async def client(server: FaultyApiServer, token: Path, tmp_path: Path) -> AsyncIterator[KubernetesClient]:
    kubeconfig = {
        "current-context": "faulty",
        "contexts": [{"name": "faulty", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    client = await connect(str(path), retry=QUICK, timeouts=SHORT)
    yield client
    await client.close()


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    async with asyncio.timeout(20):
        taken = [await anext(events) for _ in range(count)]
    return [(event.type, event.manifest["metadata"]["name"]) for event in taken]


def methods(server: FaultyApiServer) -> list[str]:
    return [method for method, _, _ in server.requests]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_a_read_is_repeated_until_the_server_answers(
    client: KubernetesClient, server: FaultyApiServer, code: int
) -> None:
    server.answers = [status(code), status(code), answer(item("a"))]
    assert (await client.get(CONFIG_MAPS, "a", "default"))["metadata"]["name"] == "a"
    assert len(server.requests) == 3


async def test_a_wait_that_is_too_long_is_the_callers_to_wait(
    client: KubernetesClient, server: FaultyApiServer
) -> None:
    server.answers = [status(429, "TooManyRequests", headers={"Retry-After": "3600"})]
    with pytest.raises(UnavailableError) as caught:
        await client.get(CONFIG_MAPS, "a", "default")
    assert caught.value.details["retryAfterSeconds"] == 3600
    assert len(server.requests) == 1


async def test_repeated_failure_is_unavailable_after_bounded_attempts(
    client: KubernetesClient, server: FaultyApiServer
) -> None:
    server.answers = [status(500, "InternalError")]
    with pytest.raises(UnavailableError, match="InternalError") as caught:
        await client.get(CONFIG_MAPS, "a", "default")
    assert (caught.value.status, caught.value.code) == (500, "InternalError")
    assert len(server.requests) == QUICK.attempts


async def test_a_create_that_may_have_happened_is_not_repeated(
    client: KubernetesClient, server: FaultyApiServer
) -> None:
    server.answers = [status(500), answer(item("a"))]
    with pytest.raises(UnavailableError):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert methods(server) == ["POST"]


async def test_a_create_that_was_not_read_is_repeated(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [status(429), answer(item("a"))]
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert methods(server) == ["POST", "POST"]


async def test_conditional_writes_are_repeated(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [status(503), answer(item("a"))] * 4
    await client.replace(CONFIG_MAPS, item("a"))
    await client.patch(CONFIG_MAPS, "a", "default", {})
    await client.apply(CONFIG_MAPS, item("a"), "m")
    await client.apply_status(CONFIG_MAPS, "a", "default", {}, "m")
    assert methods(server) == ["PUT"] * 2 + ["PATCH"] * 6


async def test_a_lost_connection_is_repeated(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [cut(tail='{"kind": "Conf'), answer(item("a"))]
    await client.get(CONFIG_MAPS, "a", "default")
    assert len(server.requests) == 2


async def test_silence_ends_in_a_timeout(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [silence]
    with pytest.raises(UnavailableError) as caught:
        await client.get(CONFIG_MAPS, "a", "default")
    assert caught.value.code == "Interrupted"
    assert len(server.requests) == QUICK.attempts


async def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    server = FaultyApiServer()
    async with server.serve():
        pass
    kubeconfig = {
        "current-context": "gone",
        "contexts": [{"name": "gone", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
    }
    (tmp_path / "gone").write_text(yaml.safe_dump(kubeconfig))
    client = await connect(str(tmp_path / "gone"), retry=QUICK, timeouts=SHORT)
    with pytest.raises(UnavailableError) as caught:
        await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert caught.value.code == "Unreachable"
    await client.close()


async def test_a_rotated_token_is_read_again(client: KubernetesClient, server: FaultyApiServer, token: Path) -> None:
    await asyncio.to_thread(token.write_text, "second")
    server.answers = [status(401), answer(item("a"))]
    await client.get(CONFIG_MAPS, "a", "default")
    assert [headers["Authorization"] for _, _, headers in server.requests] == ["Bearer first", "Bearer second"]


async def test_a_token_that_stays_wrong_is_refused_at_once(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [status(401, "Unauthorized")]
    with pytest.raises(ApiError) as caught:
        await client.get(CONFIG_MAPS, "a", "default")
    assert (caught.value.status, caught.value.code) == (401, "Unauthorized")
    assert len(server.requests) == 2


async def test_a_list_starts_again_when_its_next_page_is_lost(
    client: KubernetesClient, server: FaultyApiServer
) -> None:
    first = answer({"metadata": {"resourceVersion": "5", "continue": "next"}, "items": [item("old")]})
    again = answer({"metadata": {"resourceVersion": "7", "continue": "next"}, "items": [item("a")]})
    last = answer({"metadata": {"resourceVersion": "7"}, "items": [item("b")]})
    server.answers = [first, status(410, "Expired"), again, last]
    listed = await client.list(CONFIG_MAPS, "default")
    assert [found["metadata"]["name"] for found in listed.items] == ["a", "b"]
    assert listed.resource_version == "7"
    assert [query.get("continue") for _, query, _ in server.requests] == [None, "next", None, "next"]


async def test_what_is_there_is_told_first_and_then_what_happens(
    client: KubernetesClient, server: FaultyApiServer
) -> None:
    noted = event("ADDED", "a", "3")
    noted["object"]["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": {"f:data": {"f:k": {}}}}]
    end = event("BOOKMARK", "", "7")
    end["object"]["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
    server.answers = [stream(noted, event("BOOKMARK", "", "5"), end), stream(event("DELETED", "a", "8")), silence]
    async with aclosing(client.observe(CONFIG_MAPS, "default")) as told, asyncio.timeout(20):
        assert await anext(told) == WatchEvent("ADDED", item("a", "3"))
        assert await anext(told) == Synced("7")
        assert await anext(told) == WatchEvent("DELETED", item("a", "8"))
    first, second, *_ = [query for _, query, _ in server.requests]
    assert (first["sendInitialEvents"], first["resourceVersionMatch"]) == ("true", "NotOlderThan")
    assert "resourceVersion" not in first
    assert second["resourceVersion"] == "7"


async def test_a_server_that_cannot_tell_what_is_there_is_listed(
    client: KubernetesClient, server: FaultyApiServer
) -> None:
    listed = answer({"metadata": {"resourceVersion": "7"}, "items": [item("a")]})
    server.answers = [status(422, "Invalid"), listed, stream(event("ADDED", "b", "8")), silence]
    async with aclosing(client.observe(CONFIG_MAPS, "default")) as told, asyncio.timeout(20):
        found = [await anext(told) for _ in range(3)]
    assert [event.manifest["metadata"]["name"] for event in found if isinstance(event, WatchEvent)] == ["a", "b"]
    assert found[1] == Synced("7")


async def test_half_of_what_is_there_is_nothing(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [stream(event("ADDED", "a", "3"))]
    async with aclosing(client.observe(CONFIG_MAPS, "default")) as told, asyncio.timeout(20):
        await anext(told)
        with pytest.raises(UnavailableError):
            await anext(told)


async def test_a_cut_watch_goes_on_from_the_last_version(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [
        cut(event("ADDED", "a", "5"), event("BOOKMARK", "", "9")),
        cut(event("ADDED", "b", "10"), tail='{"type": "ADD'),
        status(503),
        stream(event("DELETED", "a", "11")),
        stream(event("ADDED", "c", "12")),
        silence,
    ]
    async with aclosing(client.watch(CONFIG_MAPS, "default", "3", "app=x")) as events:
        assert await take(events, 4) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("ADDED", "c")]
    queries = [query for _, query, _ in server.requests]
    assert [query["resourceVersion"] for query in queries] == ["3", "9", "10", "10", "11"]
    assert {query["allowWatchBookmarks"] for query in queries} == {"true"}
    assert {query["labelSelector"] for query in queries} == {"app=x"}
    assert all(45 <= int(query["timeoutSeconds"]) <= 60 for query in queries)


@pytest.mark.parametrize("gone", [status(410, "Expired"), stream(error_event(410))])
async def test_lost_history_is_told(client: KubernetesClient, server: FaultyApiServer, gone: Any) -> None:
    server.answers = [gone]
    with pytest.raises(GoneError):
        await take(client.watch(CONFIG_MAPS, "default", "3"), 1)
    assert len(server.requests) == 1


async def test_another_error_event_only_interrupts(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [stream(error_event(500)), stream(error_event(403)), stream(event("ADDED", "a", "5")), silence]
    async with aclosing(client.watch(CONFIG_MAPS, "default", "3")) as events:
        assert await take(events, 1) == [("ADDED", "a")]


async def test_a_watch_that_is_forbidden_fails_at_once(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [status(403, "Forbidden")]
    with pytest.raises(ApiError) as caught:
        await take(client.watch(CONFIG_MAPS, "default", "3"), 1)
    assert caught.value.code == "Forbidden"


async def test_a_large_object_passes_the_watch(client: KubernetesClient, server: FaultyApiServer) -> None:
    large = event("ADDED", "a", "5")
    large["object"]["data"] = {"k": "x" * 1_500_000}
    server.answers = [stream(large), silence]
    async with aclosing(client.watch(CONFIG_MAPS, "default", "3")) as events:
        assert await take(events, 1) == [("ADDED", "a")]


@pytest.mark.parametrize(("uid", "is_success"), [("another", True), ("uid-of-a", False)])
async def test_a_delete_conflict_is_success_only_for_another_uid(
    client: KubernetesClient, server: FaultyApiServer, uid: str, is_success: bool
) -> None:
    server.answers = [status(409, "Conflict"), answer(item("a"))]
    if is_success:
        await client.delete(CONFIG_MAPS, "a", "default", uid=uid)
    else:
        with pytest.raises(ConflictError):
            await client.delete(CONFIG_MAPS, "a", "default", uid=uid)


async def test_what_is_not_a_status_is_quoted(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [answer("a proxy says no", 403)]
    with pytest.raises(ApiError, match="a proxy says no") as caught:
        await client.get(CONFIG_MAPS, "a", "default")
    assert caught.value.code == "Forbidden"


async def test_an_answer_that_is_no_json_is_no_answer(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [answer("<html>welcome</html>")]
    with pytest.raises(UnavailableError, match="welcome"):
        await client.get(CONFIG_MAPS, "a", "default")


async def test_a_log_comes_line_by_line(client: KubernetesClient, server: FaultyApiServer) -> None:
    server.answers = [answer("one\ntwo\n\nlast without an end")]
    lines = [line async for line in client.read_log("p", "default", "trainer", tail_lines=4, timestamps=True)]
    assert lines == ["one", "two", "", "last without an end"]
    assert server.requests[0][1] == {"container": "trainer", "tailLines": "4", "timestamps": "true"}
