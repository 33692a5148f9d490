import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fettle_api.errors import NameTakenError, StorageFullError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.webhooks.outbox import Message, Outbox
from fettle_api.webhooks.signing import SigningKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = SigningKey(bytes(32))
MESSAGE = Message("u-1", "demo", "msg_u-1", "https://example.com/x", True, '{"a":1}', 100.0)
FILE = "webhooks/outbox/u-1.json"


def outbox(root: Path, key: SigningKey | None = KEY) -> Outbox:
    return Outbox(Workspace(root), WorkspaceWriter(root), key)


@pytest.mark.parametrize("key", [KEY, None])
def test_a_message_survives_a_restart(tmp_path: Path, key: SigningKey | None) -> None:
    assert outbox(tmp_path, key).add(MESSAGE)
    assert outbox(tmp_path, key).waiting() == [MESSAGE]


def test_the_same_message_is_there_once(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    later = box.postpone(MESSAGE, 500.0) if box.add(MESSAGE) else MESSAGE
    assert not box.add(MESSAGE)
    assert box.waiting() == [later]
    assert (later.attempts, later.next_attempt_at) == (1, 500.0)


def test_the_next_one_comes_first(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    for uid, due in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        box.add(replace(MESSAGE, uid=uid, next_attempt_at=due))
    assert [message.uid for message in box.waiting()] == ["b", "c", "a"]


@pytest.mark.parametrize("outcome", ["delivered", "abandoned"])
def test_what_was_dealt_with_is_not_added_again(tmp_path: Path, outcome: str) -> None:
    box = outbox(tmp_path)
    box.add(MESSAGE)
    box.conclude(MESSAGE, outcome, NOW)  # type: ignore[arg-type]
    assert box.waiting() == []
    assert not outbox(tmp_path).add(MESSAGE)


def test_old_notes_are_swept(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add(MESSAGE)
    box.conclude(MESSAGE, "delivered", NOW)
    (tmp_path / "webhooks/sent/broken.json").write_text("{")
    box.sweep(NOW + timedelta(days=1), timedelta(days=2))
    assert not box.add(MESSAGE)
    box.sweep(NOW + timedelta(days=3), timedelta(days=2))
    assert box.add(MESSAGE)


def test_a_message_that_a_trainer_forged_is_not_sent_and_replaced(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add(MESSAGE)
    stored = json.loads((tmp_path / FILE).read_text())
    stored["message"]["url"] = "https://evil.example/x"
    (tmp_path / FILE).write_text(json.dumps(stored))
    assert box.waiting() == []
    assert box.add(MESSAGE)
    assert box.waiting() == [MESSAGE]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"message": 1}', '{"message": {}, "seal": "x"}', '{"message": {"uid": 1}, "seal": 1}', "\0"],
)
@pytest.mark.parametrize("key", [KEY, None])
def test_a_broken_file_is_nobodys(tmp_path: Path, content: str, key: SigningKey | None) -> None:
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_text(content)
    assert outbox(tmp_path, key).waiting() == []
    assert outbox(tmp_path, key).add(MESSAGE)


def test_links_are_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "webhooks").symlink_to(outside)
    assert outbox(root).waiting() == []
    with pytest.raises(NameTakenError):
        outbox(root).add(MESSAGE)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("uid", ["", "..", "a/b", "x" * 65, ".hidden", "ü"])
def test_a_uid_that_is_a_path_is_refused(tmp_path: Path, uid: str) -> None:
    assert not outbox(tmp_path).add(replace(MESSAGE, uid=uid))
    assert list(tmp_path.iterdir()) == []


def test_a_full_workspace_is_said(small_disk: Path) -> None:
    with pytest.raises(StorageFullError):
        outbox(small_disk).add(replace(MESSAGE, body="x" * 3_000_000))
    assert outbox(small_disk).waiting() == []
