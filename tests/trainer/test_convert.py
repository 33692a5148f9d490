"""GGUF conversion refuses what it cannot turn into a model, and leaves nothing behind. The demo converts a real one."""

from pathlib import Path

import pytest

from fettle_trainer.convert import convert_gguf, main
from fettle_trainer.failures import TrainerFailure


def test_missing_file_is_66(tmp_path: Path) -> None:
    with pytest.raises(TrainerFailure, match="is not a file") as refusal:
        convert_gguf(tmp_path / "none.gguf", tmp_path / "models" / "none")

    assert refusal.value.exit_code == 66


def test_existing_target_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "target").mkdir()

    with pytest.raises(TrainerFailure, match="exists already"):
        convert_gguf(tmp_path / "model.gguf", tmp_path / "target")


def test_garbage_is_66_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))

    assert main([str(tmp_path / "model.gguf"), str(tmp_path / "models" / "target")]) == 66
    assert "'model.gguf' cannot be read" in capsys.readouterr().err
    assert list((tmp_path / "models").iterdir()) == []
