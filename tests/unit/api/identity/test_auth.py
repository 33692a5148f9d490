import asyncio
import base64
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from fettle_api.errors import ForbiddenError, UnauthenticatedError
from fettle_api.identity.access import Access
from fettle_api.identity.access_reviews import ALLOWED_SECONDS, KNOWN_SECONDS, REFUSED_SECONDS, AccessReviews
from fettle_api.identity.auth import ApiKeyAuthenticator, LoopbackAuthenticator, TokenAuthenticator, build_authenticator
from fettle_api.settings import ApiSettings
from fettle_client.protocol import ApiError, UnavailableError
from tests.support.facade import OWN_AUDIENCE, ReviewingClient, running_facade
from tests.support.websocket_caller import RefusedError, connected

KEY = "k" * 32
NONE: frozenset[str] = frozenset()
LOG = Access("get", "trainingjobs", "log")


def nothing() -> Access | None:
    return None


def log() -> Access | None:
    return LOG


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:3000"},
        {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"},
        {"host": "[::1]:8080"},
        {"host": "studio.test"},
        {"host": "localhost", "origin": "https://ui.example.com"},
    ],
)
async def test_loopback_lets_in(headers: dict[str, str]) -> None:
    authenticator = LoopbackAuthenticator(frozenset({"studio.test"}), frozenset({"https://ui.example.com"}))
    assert (await authenticator.authenticate(Headers(headers), nothing)).name == "local"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "evil.com"},
        {"host": "127.0.0.1.evil.com"},
        {"host": "localhost:3000", "origin": "http://evil.com"},
        {"host": "localhost:3000", "origin": "http://localhost:5173"},
        {"host": "localhost:3000", "origin": "null"},
        {"host": "localhost:3000", "origin": "http://["},
    ],
)
async def test_loopback_refuses_foreign_hosts_and_origins(headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenError):
        await LoopbackAuthenticator(NONE, NONE).authenticate(Headers(headers), nothing)


@pytest.mark.parametrize(
    "headers",
    [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY} "}, {"x-api-key": KEY}]
    + [{"authorization": basic(user, KEY)} for user in ("", "anyone")],
)
async def test_the_key_is_taken_in_three_ways(headers: dict[str, str]) -> None:
    assert (await ApiKeyAuthenticator(KEY, NONE).authenticate(Headers(headers), nothing)).name == "api-key"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Digest {KEY}"},
        {"authorization": "Basic !!!"},
        {"authorization": basic(KEY, "wrong")},
        {"x-api-key": ""},
        {"x-api-key": KEY[:-1]},
    ],
)
async def test_anything_else_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UnauthenticatedError):
        await ApiKeyAuthenticator(KEY, NONE).authenticate(Headers(headers), nothing)


async def test_a_foreign_page_may_not_use_the_password_that_a_browser_remembers() -> None:
    headers = Headers({"host": "fettle.example.com", "authorization": basic("", KEY), "origin": "https://evil.com"})
    with pytest.raises(ForbiddenError):
        await ApiKeyAuthenticator(KEY, NONE).authenticate(headers, nothing)


async def test_the_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    settings = ApiSettings(authentication="apikey", api_key_file=path, host="0.0.0.0")
    authenticator = build_authenticator(settings, ReviewingClient())
    assert await authenticator.authenticate(Headers({"x-api-key": KEY}), nothing)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 characters"):
        ApiKeyAuthenticator("short", NONE)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def server() -> ReviewingClient:
    """An API server that knows Ada, who may read logs, and a token of somebody that is for something else."""
    client = ReviewingClient()
    user = {"username": "ada", "groups": ["team"], "uid": "u", "extra": {"scopes": ["all"]}}
    client.tokens = {"adas-token": (OWN_AUDIENCE, user), "other-token": ("fettle.dev/progress/x", user)}
    client.rights = {"ada": {"get trainingjobs/log"}}
    return client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(server: ReviewingClient, clock: Clock) -> TokenAuthenticator:
    return TokenAuthenticator(AccessReviews(server, "default", clock), NONE)


def bearing(token: str) -> Headers:
    return Headers({"authorization": f"Bearer {token}"})


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer adas-token"},
        {"x-api-key": "adas-token"},
        {"authorization": basic("ada", "adas-token")},
    ],
)
async def test_a_token_is_taken_in_three_ways(authenticator: TokenAuthenticator, headers: dict[str, str]) -> None:
    assert (await authenticator.authenticate(Headers(headers), log)).name == "ada"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer "}, {"authorization": "Bearer other-token"}, {"x-api-key": "guess"}]
)
async def test_who_brings_no_token_of_the_cluster_is_nobody(
    authenticator: TokenAuthenticator, server: ReviewingClient, headers: dict[str, str]
) -> None:
    with pytest.raises(UnauthenticatedError):
        await authenticator.authenticate(Headers(headers), log)
    assert all(call.kind == "TokenReview" for call in server.calls)


@pytest.mark.parametrize(
    "wanted",
    [Access("list", "trainingjobs"), Access("get", "trainingjobs"), Access("create", "trainingjobs", "log")],
)
async def test_who_lacks_the_right_is_refused_in_kubernetes_words(
    authenticator: TokenAuthenticator, wanted: Access
) -> None:
    with pytest.raises(ForbiddenError, match=f'user "ada" cannot {wanted.verb} resource "trainingjobs') as refused:
        await authenticator.authenticate(bearing("adas-token"), lambda: wanted)
    assert 'in API group "fettle.dev" in the namespace "default"' in str(refused.value)


async def test_what_needs_no_right_needs_a_token(authenticator: TokenAuthenticator, server: ReviewingClient) -> None:
    assert (await authenticator.authenticate(bearing("adas-token"), nothing)).name == "ada"
    assert [call.kind for call in server.calls] == ["TokenReview"]


async def test_a_browser_may_not_bring_a_token_for_a_foreign_page(authenticator: TokenAuthenticator) -> None:
    headers = {"host": "fettle.test", "origin": "https://evil.com", "authorization": basic("", "adas-token")}
    with pytest.raises(ForbiddenError, match="evil"):
        await authenticator.authenticate(Headers(headers), nothing)


async def test_the_whole_user_is_asked_about(server: ReviewingClient, authenticator: TokenAuthenticator) -> None:
    await authenticator.authenticate(bearing("adas-token"), log)
    _, spec = server.reviewed
    assert (spec["user"], spec["groups"], spec["uid"], spec["extra"]) == ("ada", ["team"], "u", {"scopes": ["all"]})


async def test_answers_are_kept_for_a_short_time(
    server: ReviewingClient, authenticator: TokenAuthenticator, clock: Clock
) -> None:
    for _ in range(3):
        await authenticator.authenticate(bearing("adas-token"), log)
    assert [call.kind for call in server.calls] == ["TokenReview", "SubjectAccessReview"]
    server.rights = {}
    clock.seconds = ALLOWED_SECONDS
    with pytest.raises(ForbiddenError):
        await authenticator.authenticate(bearing("adas-token"), log)
    server.tokens = {}
    clock.seconds = KNOWN_SECONDS
    with pytest.raises(UnauthenticatedError):
        await authenticator.authenticate(bearing("adas-token"), log)


async def test_of_many_who_come_at_once_one_is_asked_about(
    server: ReviewingClient, authenticator: TokenAuthenticator
) -> None:
    await asyncio.gather(*(authenticator.authenticate(bearing("adas-token"), log) for _ in range(50)))
    assert [call.kind for call in server.calls] == ["TokenReview", "SubjectAccessReview"]
    server.fail_next("create", UnavailableError(503, "ServiceUnavailable", "down"))
    many = (authenticator.authenticate(bearing("new-token"), log) for _ in range(50))
    failures = await asyncio.gather(*many, return_exceptions=True)
    assert all(isinstance(failure, UnavailableError) for failure in failures)
    assert len(server.calls) == 3


async def test_who_goes_away_does_not_keep_others_from_their_answer(authenticator: TokenAuthenticator) -> None:
    first = asyncio.create_task(authenticator.authenticate(bearing("adas-token"), log))
    second = asyncio.create_task(authenticator.authenticate(bearing("adas-token"), log))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).name == "ada"


async def test_refusals_are_kept_for_a_shorter_time(
    server: ReviewingClient, authenticator: TokenAuthenticator, clock: Clock
) -> None:
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await authenticator.authenticate(bearing("new-token"), log)
    assert len(server.calls) == 1
    server.tokens["new-token"] = (OWN_AUDIENCE, {"username": "ada"})
    clock.seconds = REFUSED_SECONDS
    assert (await authenticator.authenticate(bearing("new-token"), log)).name == "ada"


async def test_a_right_of_one_token_is_none_of_another(
    server: ReviewingClient, authenticator: TokenAuthenticator
) -> None:
    server.tokens["bobs-token"] = (OWN_AUDIENCE, {"username": "bob"})
    await authenticator.authenticate(bearing("adas-token"), log)
    with pytest.raises(ForbiddenError, match='user "bob"'):
        await authenticator.authenticate(bearing("bobs-token"), log)


@pytest.mark.parametrize(
    "error",
    [UnavailableError(503, "ServiceUnavailable", "down"), ApiError(403, "Forbidden", "tokenreviews: adas-token")],
)
async def test_a_server_that_gives_no_answer_is_no_answer(
    server: ReviewingClient, authenticator: TokenAuthenticator, error: ApiError, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail_next("create", error)
    with pytest.raises(UnavailableError):
        await authenticator.authenticate(bearing("adas-token"), log)
    assert "adas-token" not in caplog.text
    assert (await authenticator.authenticate(bearing("adas-token"), log)).name == "ada"


async def test_401_403_and_404_as_kubernetes_answers(tmp_path: Path) -> None:
    async with running_facade(tmp_path, authentication="token", host="0.0.0.0") as facade, facade.caller() as caller:
        facade.client.tokens = {"t": (OWN_AUDIENCE, {"username": "ada"})}
        facade.client.rights = {"ada": {"get trainingjobs"}}
        jobs, headers = "/api/training/jobs", {"authorization": "Bearer t"}
        assert (await caller.get(jobs)).status_code == 401
        assert (await caller.get(jobs, headers=headers)).status_code == 403
        assert (await caller.get(f"{jobs}/abc", headers=headers)).status_code == 404
        assert (await caller.get(f"{jobs}/abc/logs", headers=headers)).status_code == 403
        assert (await caller.get("/nothing", headers=headers)).status_code == 404
        assert (await caller.get("/openapi.json", headers=headers)).status_code == 200
        assert (await caller.get("/openapi.json")).status_code == 401
        refused = await caller.post(jobs, headers=headers, json={"base_model": "a/b", "dataset_path": "d"})
        assert 'cannot create resource "trainingjobs"' in refused.json()["error"]


async def test_rights_are_the_same_below_a_prefix(tmp_path: Path) -> None:
    async with (
        running_facade(tmp_path, authentication="token", host="0.0.0.0") as facade,
        facade.caller(None) as caller,
    ):
        facade.client.tokens = {"t": (OWN_AUDIENCE, {"username": "ada"})}
        facade.client.rights = {"ada": {"list trainingjobs", "list datasets"}}
        headers = {"authorization": "Bearer t"}
        for path, status in (
            ("/ainode/api/training/jobs", 200),
            ("/ainode/api/training/jobs/abc", 403),
            ("/v1/fine_tuning/jobs", 200),
            ("/v1/files", 200),
            ("/v1/files/file-1", 403),
            ("/v1/models", 403),
            ("/v1/nothing", 404),
        ):
            assert (await caller.get(path, headers=headers)).status_code == status, path
        assert (await caller.get("/v1/files")).status_code == 401


async def test_a_websocket_needs_the_right_to_watch(tmp_path: Path) -> None:
    async with running_facade(tmp_path, authentication="token", host="0.0.0.0") as facade:
        facade.client.tokens = {"t": (OWN_AUDIENCE, {"username": "ada"}), "u": (OWN_AUDIENCE, {"username": "bob"})}
        facade.client.rights = {"ada": {"watch trainingjobs"}, "bob": {"list trainingjobs"}}
        app = facade.app.state.ports["milady"]
        async with connected(app, "/ws", {"authorization": "Bearer t"}) as socket:
            assert (await socket.receive())["type"] == "status"
        for headers, status in (({}, 401), ({"authorization": "Bearer u"}, 403)):
            with pytest.raises(RefusedError) as refused:
                async with connected(app, "/ws", headers):
                    pass
            assert refused.value.status == status
