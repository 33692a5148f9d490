import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fettle_api.outbound import Outbound
from fettle_api.webhooks.delivery import Result, deliver, pause_seconds
from fettle_api.webhooks.outbox import Message
from fettle_api.webhooks.signing import SigningKey
from tests.support.http_receiver import http_receiver

KEY = SigningKey(bytes(range(32)))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOOPBACK = Outbound(frozenset({"127.0.0.1"}))


def message(url: str, needs_signature: bool = True) -> Message:
    return Message("u-1", "demo", "msg_u-1", url, needs_signature, '{"a":"ü"}', 100.0)


async def test_a_message_arrives_signed() -> None:
    async with http_receiver() as receiver:
        assert await deliver(message(receiver.url), LOOPBACK, KEY, lambda: NOW) == (Result.DELIVERED, "200")
    (received,) = receiver.received
    assert (received.method, received.path, received.body) == ("POST", "/hook", '{"a":"ü"}'.encode())
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == "msg_u-1"
    assert received.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    signed = f"msg_u-1.{received.headers['webhook-timestamp']}.".encode() + received.body
    expected = base64.b64encode(hmac.new(KEY.content, signed, hashlib.sha256).digest()).decode()
    assert received.headers["webhook-signature"] == f"v1,{expected}"


async def test_without_a_key_only_what_needs_no_signature_is_sent() -> None:
    async with http_receiver() as receiver:
        result, words = await deliver(message(receiver.url), LOOPBACK, None, lambda: NOW)
        assert result is Result.FAILED
        assert "webhook_key_file" in words
        result, _ = await deliver(message(receiver.url, needs_signature=False), LOOPBACK, None, lambda: NOW)
        assert result is Result.DELIVERED
    (received,) = receiver.received
    assert "webhook-signature" not in received.headers


@pytest.mark.parametrize(
    ("status", "result"),
    [(204, Result.DELIVERED), (410, Result.UNWANTED), (400, Result.FAILED), (500, Result.FAILED), (302, Result.FAILED)],
)
async def test_what_an_answer_means(status: int, result: Result) -> None:
    async with http_receiver(status) as receiver:
        found, words = await deliver(message(receiver.url), LOOPBACK, KEY, lambda: NOW)
    assert found is result
    assert str(status) in words or "redirect" in words
    assert len(receiver.received) == 1


async def test_a_private_address_is_not_called() -> None:
    async with http_receiver() as receiver:
        result, words = await deliver(message(f"{receiver.url}?token=canary"), Outbound(), KEY, lambda: NOW)
    assert (result, receiver.received) == (Result.FAILED, [])
    assert "private address" in words
    assert "canary" not in words


async def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    gone = replace(message("http://127.0.0.1:9/hook"))
    result, words = await deliver(gone, LOOPBACK, KEY, lambda: NOW)
    assert result is Result.FAILED
    assert "cannot be reached" in words


def test_pauses_grow_to_an_hour() -> None:
    assert [pause_seconds(attempt, lambda: 0.0) for attempt in (1, 2, 3, 10, 11, 1000)] == [5, 10, 20, 2560, 3600, 3600]
    assert pause_seconds(1, lambda: 1.0) == 6
