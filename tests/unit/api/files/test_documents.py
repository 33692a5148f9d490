import os
from pathlib import Path

import pytest

from fettle_api.errors import BodyError, DocumentNotFoundError, NameTakenError
from fettle_api.files.documents import MAX_DOCUMENT_BYTES, Documents
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter


def documents(root: Path) -> Documents:
    return Documents(Workspace(root), WorkspaceWriter(root), "configs")


async def test_a_document_is_kept_word_for_word(tmp_path: Path) -> None:
    kept = documents(tmp_path)
    await kept.put("a", {"b": 1, "ü": [None, 2e-4]})
    assert await kept.get("a") == {"b": 1, "ü": [None, 2e-4]}
    assert await kept.all() == {"a": {"b": 1, "ü": [None, 2e-4]}}
    with pytest.raises(NameTakenError):
        await kept.put("a", {})
    await kept.put("a", {}, replace=True)
    assert await kept.get("a") == {}
    await kept.delete("a")
    assert await kept.all() == {}
    with pytest.raises(DocumentNotFoundError):
        await kept.delete("a")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a.b", "a\0", "-a", "ü", "x" * 129, "a\n"])
async def test_a_name_never_leads_out(tmp_path: Path, name: str) -> None:
    kept = documents(tmp_path)
    with pytest.raises(BodyError):
        await kept.put(name, {})
    with pytest.raises(DocumentNotFoundError):
        await kept.get(name)
    with pytest.raises(DocumentNotFoundError):
        await kept.delete(name)
    assert os.listdir(tmp_path) == []


async def test_a_document_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BodyError):
        await documents(tmp_path).put("a", {"x": "y" * MAX_DOCUMENT_BYTES})


async def test_what_a_trainer_planted_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    (root / "configs").mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    (root / "configs/link.json").symlink_to(tmp_path / "secret.json")
    (root / "configs/list.json").write_text("[1]")
    (root / "configs/broken.json").write_text("{")
    (root / "configs/deep.json").write_text('{"a":' * 5000 + "1" + "}" * 5000)
    (root / "configs/large.json").write_text('{"a": "' + "x" * MAX_DOCUMENT_BYTES + '"}')
    (root / "configs/bad name.json").write_text("{}")
    (root / "configs/directory.json").mkdir()
    (root / "configs/good.json").write_text("{}")
    os.mkfifo(root / "configs/pipe.json")
    assert await documents(root).all() == {"good": {}}
    for name in ("link", "list", "broken", "deep", "large", "directory", "pipe"):
        with pytest.raises(DocumentNotFoundError):
            await documents(root).get(name)
