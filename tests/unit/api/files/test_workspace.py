import os
import re
from pathlib import Path

import pytest

from fettle_api.errors import FileMissingError
from fettle_api.files.workspace import Tail, Workspace

LOG = "jobs/demo/log.txt"


def write(root: Path, path: str, content: str | bytes = "x") -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return target


def read(root: Path, path: str) -> bytes:
    file = Workspace(root).open_file(path)
    try:
        return os.pread(file.descriptor, file.size_bytes, 0)
    finally:
        os.close(file.descriptor)


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    write(tmp_path, "adapters/a/b.txt", "content")
    assert read(tmp_path, "adapters/a/b.txt") == b"content"


def test_a_hard_link_is_read_like_any_file(tmp_path: Path) -> None:
    os.link(write(tmp_path, "adapters/a/b.txt", "content"), tmp_path / "adapters/a/c.txt")
    assert read(tmp_path, "adapters/a/c.txt") == b"content"


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path, "real/a.txt", "content")
    (tmp_path / "root").symlink_to("real")
    assert read(tmp_path / "root", "a.txt") == b"content"


@pytest.mark.parametrize(
    "path",
    ["", "/", "..", "a/..", "../outside.txt", "a/../b.txt", "a//b", "./a", "a\0b", "/etc/passwd", "a/", "x" * 300],
)
def test_paths_that_are_none_are_refused(tmp_path: Path, path: str) -> None:
    write(tmp_path.parent, "outside.txt")
    (tmp_path / "a").mkdir()
    assert not Workspace(tmp_path).exists(path)
    with pytest.raises(FileMissingError):
        Workspace(tmp_path).open_file(path)


def test_no_link_is_followed_at_any_depth(tmp_path: Path) -> None:
    outside = write(tmp_path, "outside/secret.txt", "secret")
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a/file.txt").symlink_to(outside)
    (root / "a/directory").symlink_to(outside.parent)
    (root / "top").symlink_to(outside.parent)
    for path in ("a/file.txt", "a/directory/secret.txt", "top/secret.txt", "top"):
        assert not Workspace(root).exists(path), path
        with pytest.raises(FileMissingError):
            Workspace(root).open_file(path)
    with pytest.raises(FileMissingError):
        Workspace(root).list_files("top")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for name in ("pipe", "directory"):
        with pytest.raises(FileMissingError):
            Workspace(tmp_path).open_file(name)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    write(tmp_path, "a/b/c.txt", "one\ntwo\n")
    (tmp_path / "a/link").symlink_to("b")
    workspace, before = Workspace(tmp_path), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        workspace.tail("a/b/c.txt", 1)
        workspace.list_files("a/b")
        workspace.exists("a/link/c.txt")
        for missing in ("a/link/c.txt", "a/b/nope", "a/b"):
            with pytest.raises(FileMissingError):
                workspace.open_file(missing)
    assert len(os.listdir("/proc/self/fd")) == before


def test_listing_shows_regular_files_of_the_top_level_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "below/c.txt"):
        write(tmp_path, f"out/{name}", name)
    (tmp_path / "out/link").symlink_to("a.txt")
    os.mkfifo(tmp_path / "out/pipe")
    (tmp_path / "out" / os.fsdecode(b"bad\xff")).write_text("x")
    assert [(file.name, file.size_bytes) for file in Workspace(tmp_path).list_files("out")] == [
        ("a.txt", 5),
        ("b.txt", 5),
    ]


@pytest.mark.parametrize(
    ("content", "count", "tail"),
    [
        ("", 5, Tail([], 0)),
        ("one", 5, Tail(["one"], 1)),
        ("one\n", 5, Tail(["one"], 1)),
        ("one\ntwo\nthree\n", 2, Tail(["two", "three"], 3)),
        ("one\n\ntwo", 5, Tail(["one", "", "two"], 3)),
        ("\n\n", 5, Tail(["", ""], 2)),
        ("one\r\ntwo\r\n", 5, Tail(["one", "two"], 2)),
        ("one\ntwo", 0, Tail([], 2)),
    ],
)
def test_the_tail_of_a_log(tmp_path: Path, content: str, count: int, tail: Tail) -> None:
    write(tmp_path, LOG, content)
    assert Workspace(tmp_path).tail(LOG, count) == tail


def test_a_tail_across_blocks(tmp_path: Path) -> None:
    lines = [f"line {number} {'x' * (number % 300)}" for number in range(5000)]
    write(tmp_path, LOG, "\n".join(lines) + "\n")
    assert Workspace(tmp_path).tail(LOG, 4000) == Tail(lines[1000:], 5000)
    assert Workspace(tmp_path).tail(LOG, 9000) == Tail(lines, 5000)


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    write(tmp_path, LOG, b"first\n" + b"y" * 3_000_000 + b"\nlast\n")
    tail = Workspace(tmp_path).tail(LOG, 10)
    assert tail.line_count == 3
    assert tail.lines[0] == "first"
    assert tail.lines[1] == "y" * 65536
    assert tail.lines[2] == "last"


def test_only_matching_lines_are_taken_and_counted(tmp_path: Path) -> None:
    write(tmp_path, LOG, "".join(f"{'keep' if number % 3 == 0 else 'skip'} {number}\n" for number in range(90_000)))
    tail = Workspace(tmp_path).tail(LOG, 2, re.compile(b"^keep"))
    assert tail == Tail(["keep 89994", "keep 89997"], 30_000)


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    write(tmp_path, LOG, b"a\xffb\n")
    assert Workspace(tmp_path).tail(LOG, 1).lines == ["a\ufffdb"]
