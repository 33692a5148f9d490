import json
import time
from typing import Any

import pytest

from fettle_api.trajectories.scrubbing import EMAIL, SECRET, Scrubber


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("my key is sk-abcdef1234567890abcd.", f"my key is {SECRET}."),
        ("sk-ant-api03-AbCdEf0123456789-xyz", SECRET),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", SECRET),
        ("hf_AbCdEfGhIjKlMnOp0123", SECRET),
        ("hf_CanaryWithoutAnyDigitInItself", SECRET),
        ("xoxb-123456789012-abcdefghijkl", SECRET),
        ("AKIAIOSFODNN7EXAMPLE", SECRET),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", SECRET),
        ("Authorization: Bearer abc.def-0123456789", f"Authorization: Bearer {SECRET}"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4", SECRET),
        ("password: hunter22", f"password: {SECRET}"),
        ('OPENAI_API_KEY="sk-proj-1234567890abcdef"', f'OPENAI_API_KEY="{SECRET}"'),
        ("my_api_key=abcdefgh", f"my_api_key={SECRET}"),
        ("accessToken: abcdefgh", f"accessToken: {SECRET}"),
        ("client_secret=abcdefgh", f"client_secret={SECRET}"),
        ("postgres://user:pa55@db/x", f"postgres://{SECRET}@db/x"),
        ("bot 123456789:AAabcdefghijklmnopqrstuvwxyz0123456 starts", f"bot {SECRET} starts"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest", f"{SECRET}\nrest"),
        ("0x" + "ab" * 32, SECRET),
    ],
)
def test_forms_of_secrets(text: str, scrubbed: str) -> None:
    scrubber = Scrubber()
    assert scrubber.text(text) == scrubbed
    assert (scrubber.secret_count, scrubber.email_count) == (1, 0)


def test_addresses_of_people() -> None:
    scrubber = Scrubber()
    text = "write to ann@example.com, Bob.Ü+x@mail.example.co.uk or (c@d.io)"
    assert scrubber.text(text) == f"write to {EMAIL}, {EMAIL} or ({EMAIL})"
    assert (scrubber.secret_count, scrubber.email_count) == (0, 3)


@pytest.mark.parametrize(
    "text",
    [
        "the token count is 12",
        "sk-learn is a library",
        "hf_hub_download loads a file",
        "meet me @ noon",
        "a@b",
        "secret: null",
        "https://example.com:8080/path",
        "the bearer of this letter",
        "maxTokens=512",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    scrubber = Scrubber()
    assert scrubber.text(text) == text
    assert (scrubber.secret_count, scrubber.email_count) == (0, 0)


@pytest.mark.parametrize(
    ("value", "scrubbed"),
    [
        ({"apiKey": "plain", "n": 1}, {"apiKey": SECRET, "n": 1}),
        ({"db_password": "x", "a": [{"accessToken": "y"}]}, {"db_password": SECRET, "a": [{"accessToken": SECRET}]}),
        ({"Authorization": "anything"}, {"Authorization": SECRET}),
        ({"promptTokens": 5, "token": 5}, {"promptTokens": 5, "token": 5}),
        ({"a@b.io": "c@d.io"}, {EMAIL: EMAIL}),
    ],
)
def test_names_that_say_secret(value: Any, scrubbed: Any) -> None:
    assert Scrubber().value(value) == scrubbed


def test_json_in_a_text_stays_json() -> None:
    scrubber = Scrubber()
    text = json.dumps([{"llmCalls": [{"response": 'key sk-abcdef1234567890 "quoted"'}]}])
    assert json.loads(scrubber.json_text(text)) == [{"llmCalls": [{"response": f'key {SECRET} "quoted"'}]}]
    assert scrubber.json_text("no JSON, ann@example.com") == f"no JSON, {EMAIL}"


def test_scrubbing_twice_changes_nothing() -> None:
    scrubber = Scrubber()
    once = scrubber.text(
        "api_key=sk-abcdef1234567890 Bearer abcdef0123456789 x:y@z postgres://u:p4ss@h ann@example.com"
    )
    counts = (scrubber.secret_count, scrubber.email_count)
    assert scrubber.text(once) == once
    assert (scrubber.secret_count, scrubber.email_count) == counts


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a.",
        "-eyJ",
        "a@",
        "sk-",
        "token=",
        "-----BEGIN PRIVATE KEY-----",
        "x://",
        "1:",
        "_api_key",
        "Bearer ",
        "M.",
    ],
)
def test_long_texts_are_read_once(piece: str) -> None:
    begin = time.process_time()
    Scrubber().text(piece * (300_000 // len(piece)))
    assert time.process_time() - begin < 5
