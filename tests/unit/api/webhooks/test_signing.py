import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from fettle_api.webhooks.signing import SigningKey, SigningKeyError, ensure_key, read_key

SECRET = bytes(range(32))


def test_the_signature_of_the_standards_own_example() -> None:
    key = SigningKey(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    body = b'{"test": 2432232314}'
    signature = key.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_check_it_with_plain_means() -> None:
    expected = hmac.new(SECRET, b"msg_1.7.{}", hashlib.sha256).digest()
    assert SigningKey(SECRET).signature("msg_1", 7, b"{}") == f"v1,{base64.b64encode(expected).decode()}"


@pytest.mark.parametrize("prefix", ["whsec_", ""])
def test_a_key_is_read_from_its_file(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "key"
    path.write_text(f"{prefix}{base64.b64encode(SECRET).decode()}\n")
    assert read_key(path) == SigningKey(SECRET)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = ensure_key(tmp_path / "key")
    first = read_key(path)
    assert (len(first.content), path.stat().st_mode & 0o777) == (32, 0o600)
    assert read_key(ensure_key(path)) == first
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "not base64 at all!", "ü" * 40, "A" * 120])
def test_what_is_no_key_is_refused_without_its_content(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(SigningKeyError, match="24 to 64 bytes") as refusal:
        read_key(path)
    assert not text.strip("A") or text not in str(refusal.value) or text == "whsec_"


def test_a_seal_proves_one_content_of_one_key() -> None:
    key = SigningKey(SECRET)
    assert key.is_sealed(b"a", key.seal(b"a"))
    assert not key.is_sealed(b"b", key.seal(b"a"))
    assert not SigningKey(bytes(32)).is_sealed(b"a", key.seal(b"a"))
    assert not key.is_sealed(b"a", "ü")


def test_the_key_is_not_shown() -> None:
    assert "content" not in repr(SigningKey(SECRET))
