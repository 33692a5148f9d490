import base64
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from fettle_api.auth import ApiKeyAuthenticator, LoopbackAuthenticator, build_authenticator
from fettle_api.errors import ForbiddenError, UnauthenticatedError
from fettle_api.settings import ApiSettings

KEY = "k" * 32
NONE: frozenset[str] = frozenset()


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
def test_loopback_lets_in(headers: dict[str, str]) -> None:
    authenticator = LoopbackAuthenticator(frozenset({"studio.test"}), frozenset({"https://ui.example.com"}))
    assert authenticator.authenticate(Headers(headers)).name == "local"


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
def test_loopback_refuses_foreign_hosts_and_origins(headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenError):
        LoopbackAuthenticator(NONE, NONE).authenticate(Headers(headers))


@pytest.mark.parametrize(
    "headers",
    [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY} "}, {"x-api-key": KEY}]
    + [{"authorization": basic(user, KEY)} for user in ("", "anyone")],
)
def test_the_key_is_taken_in_three_ways(headers: dict[str, str]) -> None:
    assert ApiKeyAuthenticator(KEY, NONE).authenticate(Headers(headers)).name == "api-key"


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
def test_anything_else_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UnauthenticatedError):
        ApiKeyAuthenticator(KEY, NONE).authenticate(Headers(headers))


def test_a_foreign_page_may_not_use_the_password_that_a_browser_remembers() -> None:
    headers = Headers({"host": "fettle.example.com", "authorization": basic("", KEY), "origin": "https://evil.com"})
    with pytest.raises(ForbiddenError):
        ApiKeyAuthenticator(KEY, NONE).authenticate(headers)


def test_the_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    authenticator = build_authenticator(ApiSettings(authentication="apikey", api_key_file=path, host="0.0.0.0"))
    assert authenticator.authenticate(Headers({"x-api-key": KEY}))


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 characters"):
        ApiKeyAuthenticator("short", NONE)
