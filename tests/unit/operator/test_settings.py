"""Settings from the environment."""

import pytest
from pydantic import ValidationError

from fettle_operator.settings import OperatorSettings, QueueLimits


def test_they_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETTLE_TRAINER_IMAGE", "trainer:1")
    monkeypatch.setenv("FETTLE_WATCH_NAMESPACES", "team-a, team-b")
    monkeypatch.setenv("FETTLE_QUEUES", '{"large": {"maxRunning": 2, "maxGpus": 16}}')
    settings = OperatorSettings()
    assert settings.watch_namespaces == ["team-a", "team-b"]
    assert settings.queue_limits("large") == QueueLimits(max_running=2, max_gpus=16)
    assert settings.queue_limits("default") == QueueLimits()
    assert settings.queue_limits("missing") is None


def test_without_queues_every_name_is_a_queue_without_limits() -> None:
    assert OperatorSettings(trainer_image="t").queue_limits("any") == QueueLimits()


def test_the_image_has_no_default() -> None:
    with pytest.raises(ValidationError, match="trainer_image"):
        OperatorSettings()


def test_a_limit_that_is_misspelled_is_refused() -> None:
    with pytest.raises(ValidationError, match="maxRuning"):
        OperatorSettings(trainer_image="t", queues={"default": {"maxRuning": 1}})
