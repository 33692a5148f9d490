import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fettle_api.errors import RemoteError, UrlError
from fettle_api.outbound import Outbound, is_public
from tests.support.plain_server import plain_server


def resolving(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nhello"


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
        ),
        *(
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fe80::1%eth0",
        ),
        *("fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "ff02::1", "not an address", ""),
    ],
)
def test_addresses_that_no_caller_may_reach(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("", "x", "/path", "ftp://example.com", "file:///etc/passwd", "gopher://example.com", "http://", "http:///x"),
        *("http://user:secret@example.com", "http://user@example.com", "http://exa mple.com", "http://a\r\nHost: b"),
        *("http://[::1", "http://example.com:99999", "http://example.com:0", "http://example.com/" + "x" * 3000),
    ],
)
async def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UrlError) as caught:
        await Outbound(resolve=resolving("8.8.8.8")).check(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "LOCALHOST."],
)
async def test_this_machine_is_refused_by_whatever_name(host: str) -> None:
    with pytest.raises(UrlError, match="private address"):
        await Outbound().check(f"http://{host}:8080/x")


async def test_one_private_address_among_others_is_enough() -> None:
    with pytest.raises(UrlError, match="private address"):
        await Outbound(resolve=resolving("8.8.8.8", "10.0.0.1")).check("https://rebound.example.com")
    await Outbound(resolve=resolving("8.8.8.8")).check("https://example.com")
    await Outbound(frozenset({"intranet"}), resolving("10.0.0.1")).check("http://INTRANET./x")


async def test_a_host_that_is_not_there() -> None:
    async def fail(host: str, port: int) -> list[str]:
        raise OSError("no such host; the resolver is 10.0.0.53")

    with pytest.raises(RemoteError) as caught:
        await Outbound(resolve=fail).check("http://nowhere.example.com")
    assert "10.0.0.53" not in str(caught.value)


async def test_an_allowed_host_is_called_at_the_address_that_was_checked() -> None:
    looked_up: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["10.255.255.1"]

    outbound = Outbound(frozenset({"name.test"}), resolve)
    async with plain_server(OK) as (port, asked):
        url = f"http://name.test:{port}/a?b=c"
        async with outbound.request("POST", url, content=b"x", headers={"X-A": "1"}) as answer:
            assert (answer.status, await answer.read()) == (200, b"hello")
    assert looked_up == ["name.test"]
    assert asked[0].startswith(b"POST /a?b=c HTTP/1.1\r\nHost: name.test")
    assert b"X-A: 1" in asked[0]
    assert b"Accept-Encoding: identity" in asked[0]


async def test_a_redirect_is_not_followed() -> None:
    outbound = Outbound(frozenset({"127.0.0.1"}))
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    async with plain_server(moved) as (port, asked):
        with pytest.raises(UrlError, match="redirect"):
            async with outbound.request("GET", f"http://127.0.0.1:{port}/"):
                pass
    assert len(asked) == 1


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"])
async def test_a_server_that_fails(answer: bytes) -> None:
    outbound = Outbound(frozenset({"127.0.0.1"}))
    async with plain_server(answer) as (port, _):
        with pytest.raises(RemoteError):
            async with outbound.request("GET", f"http://127.0.0.1:{port}/") as found:
                await found.read()


async def test_a_server_that_says_nothing() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        done.set()

    done = asyncio.Event()
    listening = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(RemoteError, match="TimeoutError"):
        async with Outbound(frozenset({"127.0.0.1"})).request("GET", f"http://127.0.0.1:{port}/", timeout_seconds=0.05):
            pass
    await asyncio.wait_for(done.wait(), 5)
    listening.close()
    await listening.wait_closed()
