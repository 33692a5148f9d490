"""Where the base model of an adapter is looked for, and what is said when it is missing."""

from pathlib import Path

import pytest

from fettle_local.answers import AnswerError, answers, base_model_directory
from fettle_local.home import Home


@pytest.mark.parametrize(
    ("place", "model_id"),
    [
        ("models/smollm2-135m", "models/smollm2-135m"),
        ("models/acme/model", "acme/model"),
        ("huggingface/hub/models--acme--model/snapshots/0123", "acme/model"),
    ],
)
def test_a_base_model_is_found_in_the_workspace(tmp_path: Path, place: str, model_id: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "config.json").touch()
    assert base_model_directory(tmp_path, model_id) == tmp_path / place


def test_a_missing_base_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnswerError, match="acme/model"):
        base_model_directory(tmp_path, "acme/model")


def test_an_adapter_without_files_is_named(tmp_path: Path) -> None:
    adapter = {"metadata": {"name": "helper"}, "spec": {"baseModel": {"id": "m"}}}
    with pytest.raises(AnswerError, match="helper"):
        answers(Home(tmp_path, tmp_path), adapter, ["hello"])
