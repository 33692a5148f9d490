import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fettle_api.errors import FileMissingError, NameTakenError, StorageFullError
from fettle_api.files.writer import WorkspaceWriter, close_synced, write_all


def hidden(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob(".*")]


def test_a_staged_directory_appears_whole(tmp_path: Path) -> None:
    staging = WorkspaceWriter(tmp_path).stage("datasets")
    descriptor = staging.create("data.jsonl")
    write_all(descriptor, b"rows")
    close_synced(descriptor)
    staging.add_file("dataset.json", b"{}")
    assert not (tmp_path / "datasets/x").exists()
    staging.publish("datasets/x/v1")
    staging.discard()
    assert (tmp_path / "datasets/x/v1/data.jsonl").read_bytes() == b"rows"
    assert (tmp_path / "datasets/x/v1/dataset.json").read_bytes() == b"{}"
    assert hidden(tmp_path) == []


def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    staging = WorkspaceWriter(tmp_path).stage("datasets")
    staging.add_file("data.jsonl", b"rows")
    staging.discard()
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_place_is_taken_once(tmp_path: Path) -> None:
    writer = WorkspaceWriter(tmp_path)

    def publish(number: int) -> bool:
        staging = writer.stage("datasets")
        staging.add_file("data.jsonl", str(number).encode())
        try:
            staging.publish("datasets/x/v1")
        except NameTakenError:
            return False
        finally:
            staging.discard()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(publish, range(16))) == 1
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("planted", ["link", "file", "dangling"])
def test_nothing_is_written_through_what_a_trainer_planted(tmp_path: Path, planted: str) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    if planted == "file":
        (root / "datasets").write_text("")
    else:
        (root / "datasets").symlink_to(outside if planted == "link" else "nowhere")
    writer = WorkspaceWriter(root)
    with pytest.raises(NameTakenError):
        writer.stage("datasets")
    with pytest.raises(NameTakenError):
        writer.write_file("datasets/x.json", b"{}")
    assert list(outside.iterdir()) == []


def test_a_link_in_the_place_of_a_version_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    (root / "datasets/x").mkdir(parents=True)
    outside.mkdir()
    (root / "datasets/x/v1").symlink_to(outside)
    staging = WorkspaceWriter(root).stage("datasets")
    staging.add_file("data.jsonl", b"rows")
    with pytest.raises(NameTakenError):
        staging.publish("datasets/x/v1")
    staging.discard()
    assert list(outside.iterdir()) == []


def test_a_file_is_written_once_or_replaced(tmp_path: Path) -> None:
    writer = WorkspaceWriter(tmp_path)
    writer.write_file("templates/a.json", b"1")
    with pytest.raises(NameTakenError):
        writer.write_file("templates/a.json", b"2")
    assert (tmp_path / "templates/a.json").read_bytes() == b"1"
    writer.write_file("templates/a.json", b"3", replace=True)
    assert (tmp_path / "templates/a.json").read_bytes() == b"3"
    assert hidden(tmp_path) == []


def test_replacing_does_not_write_through_a_link_or_a_hard_link(tmp_path: Path) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    (root / "templates").mkdir(parents=True)
    outside.write_text("kept")
    (root / "templates/a.json").symlink_to(outside)
    os.link(outside, root / "templates/b.json")
    for name in ("a", "b"):
        WorkspaceWriter(root).write_file(f"templates/{name}.json", b"new", replace=True)
        assert (root / f"templates/{name}.json").read_bytes() == b"new"
    assert outside.read_text() == "kept"


@pytest.mark.parametrize("path", ["../x", "datasets/../../x", "/etc/x", "datasets//x", "datasets/./x", "a\0b/c", ""])
def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    writer = WorkspaceWriter(tmp_path)
    with pytest.raises(FileMissingError):
        writer.write_file(path, b"")
    with pytest.raises(FileMissingError):
        writer.remove_directory(path)
    with pytest.raises(FileMissingError):
        writer.remove_file(path)


def test_removing_a_directory_follows_no_link(tmp_path: Path) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    (root / "datasets/x/v1").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").write_text("")
    (root / "datasets/x/v1/link").symlink_to(outside)
    (root / "datasets/y").symlink_to(outside)
    writer = WorkspaceWriter(root)
    writer.remove_directory("datasets/x")
    with pytest.raises(FileMissingError):
        writer.remove_directory("datasets/y")
    with pytest.raises(FileMissingError):
        writer.remove_directory("datasets/x")
    assert (outside / "kept").exists()
    assert [path.name for path in (root / "datasets").iterdir()] == ["y"]


def test_what_a_killed_facade_left_is_swept_after_a_day(tmp_path: Path) -> None:
    for name, age_seconds in ((".adding-old", 90_000), (".removing-old", 90_000), (".adding-new", 60), ("x", 90_000)):
        directory = tmp_path / "datasets" / name
        directory.mkdir(parents=True)
        os.utime(directory, (time.time() - age_seconds,) * 2)
    WorkspaceWriter(tmp_path).stage("datasets").discard()
    assert sorted(path.name for path in (tmp_path / "datasets").iterdir()) == [".adding-new", "x"]


def test_a_full_disk_keeps_nothing(small_disk: Path) -> None:
    staging = WorkspaceWriter(small_disk).stage("datasets")
    descriptor = staging.create("data.jsonl")
    with pytest.raises(StorageFullError):
        write_all(descriptor, bytes(2 * 1024 * 1024))
    os.close(descriptor)
    staging.discard()
    assert list((small_disk / "datasets").iterdir()) == []
    with pytest.raises(StorageFullError):
        WorkspaceWriter(small_disk).write_file("templates/a.json", bytes(2 * 1024 * 1024))
    assert list((small_disk / "templates").iterdir()) == []


def test_other_errors_of_the_machine_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        WorkspaceWriter(tmp_path / "missing").stage("datasets")
    assert caught.value.errno == errno.ENOENT
