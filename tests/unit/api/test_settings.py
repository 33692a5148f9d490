from pathlib import Path

import pytest
from pydantic import ValidationError

from fettle_api.settings import ApiSettings, is_loopback


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.8.7", "::1", "[::1]"])
def test_loopback_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "127.0.0.1.evil.com", "localhost.evil.com", "10.0.0.1", "::", "2130706433"]
)
def test_other_names_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_everything_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FETTLE_API_NAMESPACE", "team-a")
    monkeypatch.setenv("FETTLE_API_DIALECT_PORTS", '{"ainode": 3001}')
    monkeypatch.setenv("FETTLE_API_MODEL_ALIASES", '{"small": "HuggingFaceTB/SmolLM2-135M-Instruct"}')
    settings = ApiSettings()
    assert settings.namespace == "team-a"
    assert settings.dialect_ports == {"ainode": 3001}
    assert settings.model_aliases["small"].endswith("Instruct")


def test_no_authentication_is_for_loopback_only() -> None:
    with pytest.raises(ValidationError, match="loopback only"):
        ApiSettings(host="0.0.0.0")


def test_a_key_needs_its_file() -> None:
    with pytest.raises(ValidationError, match="api_key_file"):
        ApiSettings(authentication="apikey", host="0.0.0.0")


def test_the_link_to_a_service_is_not_taken_for_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETTLE_API_PORT", "tcp://10.96.0.12:8080")
    assert ApiSettings().port == 8080


@pytest.mark.parametrize("name", ["FETTLE_API_MAX_UPLOAD_SIZE_MB", "MAX_UPLOAD_SIZE_MB"])
def test_the_limit_of_uploads_has_two_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert ApiSettings().max_upload_bytes == 500 * 1024 * 1024
    monkeypatch.setenv(name, "2")
    assert ApiSettings().max_upload_bytes == 2 * 1024 * 1024
    assert ApiSettings(max_upload_size_mb=1).max_upload_bytes == 1024 * 1024
