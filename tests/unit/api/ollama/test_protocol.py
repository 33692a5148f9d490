import hashlib
from collections.abc import AsyncIterator

import pytest

from fettle_api.errors import OllamaRefusedError, RemoteError, UrlError
from fettle_api.ollama.protocol import connect, loopback_address
from fettle_api.outbound import Outbound
from tests.support.ollama_stand_in import OllamaStandIn, ollama_stand_in
from tests.support.plain_server import plain_server


@pytest.fixture
async def server() -> AsyncIterator[OllamaStandIn]:
    async with ollama_stand_in() as running:
        yield running


async def resolve_nothing(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host!r} was looked up")


OUTBOUND = Outbound(resolve=resolve_nothing)
CONFIG = b'{"architectures": ["LlamaForCausalLM"]}'


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "localhost"),
        ("LocalHost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.255.1.9", "127.255.1.9"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("127.0.0.1.evil.com", None),
        ("localhost.evil.com", None),
        ("169.254.169.254", None),
        ("::ffff:169.254.169.254", None),
        ("0.0.0.0", None),
        ("::", None),
        ("10.0.0.1", None),
        ("2130706433", None),
        ("0x7f000001", None),
        ("0177.0.0.1", None),
        ("127.1", None),
        ("::1%lo", None),
        ("", None),
    ],
)
def test_what_is_this_machine(host: str, address: str | None) -> None:
    assert loopback_address(host) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:11434",
        "http://LOCALHOST",
        "https://localhost./",
        "http://127.0.0.1:1",
        "http://127.9.9.9",
        "http://[::1]:11434",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost/ollama",
    ],
)
def test_urls_that_may_be_called(url: str) -> None:
    connect(url, OUTBOUND)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:11434",
        "ftp://localhost",
        "file:///etc/passwd",
        "http://",
        "http://127.0.0.1.evil.com",
        "http://evil.com",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]",
        "http://user@localhost",
        "http://localhost@evil.com",
        "http://127.0.0.1\\@evil.com",
        "http://localhost#@evil.com",
        "http://localhost?x=1",
        "http://localhost:0",
        "http://localhost:99999",
        "http://local host",
        "http://localhost/../x",
        "http://localhost/%2e%2e",
        "http://2130706433",
        "http://0x7f.1",
        "http://127.1",
        "http://0.0.0.0",
        "http://[::1%25lo]",
        "http://[::1",
        "http://１２７.0.0.1",
        "http://localhost\n.evil.com",
        "http://" + "a" * 3000,
    ],
)
def test_urls_that_are_refused_before_any_look_up(url: str) -> None:
    with pytest.raises(UrlError, match="ollamaUrl"):
        connect(url, OUTBOUND)


def test_an_installation_can_allow_further_hosts() -> None:
    connect("http://ollama.internal:11434", Outbound(frozenset({"ollama.internal"}), resolve_nothing))
    with pytest.raises(UrlError, match="ALLOWED_OUTBOUND_HOSTS"):
        connect("http://other.internal", Outbound(frozenset({"ollama.internal"}), resolve_nothing))


async def test_a_model_of_files(server: OllamaStandIn) -> None:
    ollama = connect(server.url, OUTBOUND)
    digest = digest_of(CONFIG)
    assert not await ollama.has_blob(digest)
    await ollama.send_blob(digest, len(CONFIG), pieces(CONFIG[:5], CONFIG[5:]))
    assert await ollama.has_blob(digest)
    await ollama.create(
        {"model": "m", "files": {"config.json": digest}, "template": "t", "parameters": {"stop": ["x"]}}
    )
    made = server.models["m"]
    assert (made.files, made.template, made.parameters) == ({"config.json": CONFIG}, "t", {"stop": ["x"]})
    assert await ollama.architecture("m") == "llama"
    assert await ollama.architecture("other") is None


async def test_a_file_that_changed_is_refused(server: OllamaStandIn) -> None:
    with pytest.raises(OllamaRefusedError, match="digest mismatch"):
        await connect(server.url, OUTBOUND).send_blob(digest_of(b"other"), 3, pieces(b"abc"))


async def test_errors_inside_a_success(server: OllamaStandIn) -> None:
    ollama = connect(server.url, OUTBOUND)
    with pytest.raises(OllamaRefusedError, match="pull model manifest: file does not exist"):
        await ollama.create({"model": "m", "from": "nope"})
    with pytest.raises(OllamaRefusedError, match="invalid model name"):
        await ollama.create({"model": "no name"})


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b'{"status": "converting model"}\n',
        b"<html>",
        b"x" * 1_000_000,
        b"[" * 100_000,
        b'{"error": 5}\n',
        b"[1]\n",
    ],
)
async def test_answers_that_are_no_success(server: OllamaStandIn, answer: bytes) -> None:
    server.raw_create = answer
    with pytest.raises(RemoteError):
        await connect(server.url, OUTBOUND).create({"model": "m"})


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(RemoteError, match="cannot be reached"):
        await connect("http://127.0.0.1:1", OUTBOUND).has_blob("sha256:0")


async def test_a_redirect_is_not_followed() -> None:
    redirect = b"HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    async with plain_server(redirect) as (port, asked):
        with pytest.raises(UrlError, match="redirect"):
            await connect(f"http://localhost:{port}", OUTBOUND).create({"model": "m"})
        assert len(asked) == 1


async def test_words_of_another_server_are_not_repeated() -> None:
    other = b"HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\nthe secret"
    async with plain_server(other) as (port, _):
        with pytest.raises(RemoteError) as refused:
            await connect(f"http://127.0.0.1:{port}", OUTBOUND).create({"model": "m"})
    assert "secret" not in str(refused.value)
