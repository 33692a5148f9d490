import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fettle_api.errors import (
    BodyError,
    DocumentNotFoundError,
    FileMissingError,
    FileNameError,
    NameTakenError,
)
from fettle_api.files.configurations import Configurations, file_name_of, without_secrets
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter

CONTENT: dict[str, Any] = {"lora_r": 64, "odd": [1, None, {"a": True}], "config": {"x": 1}, "modified_at": "never"}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2025, 1, 16, 14, 30, 22, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def configurations(tmp_path: Path, clock: Clock) -> Configurations:
    return Configurations(Workspace(tmp_path), WorkspaceWriter(tmp_path), str(tmp_path), clock)


async def test_what_is_saved_comes_back_as_it_was(configurations: Configurations) -> None:
    saved = await configurations.save("default", CONTENT, "words", ["a", "b"])
    found = await configurations.get("default")
    assert found == saved
    assert (found.content, found.description, found.tags) == (CONTENT, "words", ("a", "b"))
    assert found.path == "configs/default.json"


async def test_saving_again_keeps_the_time_of_creation(configurations: Configurations, clock: Clock) -> None:
    first = await configurations.save("a", {"x": 1})
    clock.now += timedelta(hours=1)
    again = await configurations.save("a", {"x": 2})
    assert (again.created_at, again.modified_at) == (first.created_at, clock.now)
    assert (await configurations.get("a")).content == {"x": 2}


async def test_what_was_saved_last_comes_first(configurations: Configurations, clock: Clock) -> None:
    for name, tags in (("a", ["x"]), ("b", []), ("c", ["x", "y"])):
        await configurations.save(name, {}, tags=tags)
        clock.now += timedelta(seconds=1)
    assert [one.name for one in await configurations.all()] == ["c", "b", "a"]
    assert [one.name for one in await configurations.all("x")] == ["c", "a"]
    assert await configurations.all("nothing") == []


@pytest.mark.parametrize("name", ["Llama 3.1 8B", "../../etc/passwd", "a/b", "ä", "x" * 300, "a\nb", "-x"])
async def test_every_name_stays_inside_and_finds_its_own(
    configurations: Configurations, tmp_path: Path, name: str
) -> None:
    await configurations.save(name, {"name": name})
    await configurations.save(f"{name} 2", {})
    found = await configurations.get(name)
    assert (found.name, found.content) == (name, {"name": name})
    assert os.listdir(tmp_path) == ["configs"]
    assert len(os.listdir(tmp_path / "configs")) == 2
    await configurations.delete(name)
    with pytest.raises(DocumentNotFoundError):
        await configurations.get(name)


def test_names_that_differ_have_files_that_differ() -> None:
    assert len({file_name_of(name) for name in ("a b", "a-b", "a_b", "a/b", "a.b")}) == 5


@pytest.mark.parametrize("name", ["", "  ", "..", "/", "./..", "\0"])
async def test_a_name_of_which_nothing_is_left(configurations: Configurations, name: str) -> None:
    with pytest.raises(FileNameError):
        await configurations.save(name, {})
    with pytest.raises(DocumentNotFoundError):
        await configurations.get(name)


async def test_too_large_a_configuration_is_refused(configurations: Configurations) -> None:
    with pytest.raises(BodyError):
        await configurations.save("a", {"x": "y" * 2_000_000})


async def test_a_file_that_somebody_put_there_is_a_configuration(
    configurations: Configurations, tmp_path: Path
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/mine.json").write_text('{"lora_r": 8, "config": 1}')
    (tmp_path / "configs/broken.json").write_text("[")
    (found,) = await configurations.all()
    assert (found.name, found.content, found.tags) == ("mine", {"lora_r": 8, "config": 1}, ())


def test_secrets_are_left_out_at_any_depth() -> None:
    given = {"hf_token": "a", "inner": [{"wandb_key": "b"}], "hf_hub_private": True, "wandb_key": None}
    kept = {"inner": [{}], "hf_hub_private": True, "wandb_key": None}
    assert without_secrets(given) == kept


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a.json", "configs/exports/a.json"),
        ("mine/a.json", "configs/exports/mine/a.json"),
        ("configs/shared/a.json", "configs/shared/a.json"),
        ("{root}/configs/shared/a.json", "configs/shared/a.json"),
        ("./a.json", "configs/exports/a.json"),
    ],
)
async def test_export_and_import(configurations: Configurations, tmp_path: Path, path: str, target: str) -> None:
    await configurations.save("a", {"x": 1})
    given = path.replace("{root}", str(tmp_path))
    assert await configurations.export("a", given) == target
    assert json.loads((tmp_path / target).read_text()) == {"x": 1}
    imported = await configurations.load(target, "b")
    assert (imported.name, imported.content) == ("b", {"x": 1})
    assert (await configurations.load(given, None)).name == "a"


@pytest.mark.parametrize("path", ["/tmp/a.json", "../a.json", "a/../../b", "", ".hidden", "a\0b", "x" * 600, "a//b"])
async def test_nothing_is_written_elsewhere(configurations: Configurations, tmp_path: Path, path: str) -> None:
    await configurations.save("a", {})
    with pytest.raises(FileNameError):
        await configurations.export("a", path)
    with pytest.raises((FileMissingError, FileNameError)):
        await configurations.load(path, "b")


async def test_an_export_does_not_write_over_a_configuration(configurations: Configurations) -> None:
    await configurations.save("a", {"x": 1})
    await configurations.save("b", {"x": 2})
    with pytest.raises(NameTakenError):
        await configurations.export("a", "configs/b.json")
    await configurations.export("a", "same.json")
    await configurations.export("b", "same.json")
    assert (await configurations.load("same.json", "c")).content == {"x": 2}


async def test_files_elsewhere_and_links_are_not_imported(configurations: Configurations, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/a.json").write_text("{}")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/link.json").symlink_to(tmp_path / "datasets/a.json")
    for path in ("datasets/a.json", "configs/link.json", "configs/nothing.json"):
        with pytest.raises(FileMissingError):
            await configurations.load(path, "b")


async def test_a_saved_file_can_be_imported(configurations: Configurations) -> None:
    saved = await configurations.save("a", {"x": 1}, "words")
    assert (await configurations.load(saved.path, "b")).content == {"x": 1}
    with pytest.raises(DocumentNotFoundError):
        await configurations.export("nothing", "a.json")
