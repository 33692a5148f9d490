"""The edge to the workspace's files. Trainers write there, so every name and every file in it is hostile.

Every component of a path is opened with O_NOFOLLOW below the workspace's root; only regular files are read. A hard link
is read like any file: it cannot lead out of the volume, and whoever made it could have copied the content.
All calls block: the callers run them in threads.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fettle_api.errors import FileMissingError
from fettle_api.resources.models import FileEntry

_BLOCK_BYTES = 64 * 1024
_MAX_LINE_BYTES = 64 * 1024
_MAX_TAIL_BYTES = 16 * 1024 * 1024
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: opening a FIFO must not wait


@dataclass(frozen=True)
class OpenFile:
    """An open regular file; whoever holds it closes `descriptor`."""

    descriptor: int
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Tail:
    """The last lines of a file, oldest first, and how many it has in all."""

    lines: list[str]
    line_count: int


class Workspace:
    """Files below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def exists(self, path: str) -> bool:
        """Whether a directory or a regular file is there."""
        try:
            with self._directory(components_of(path)[:-1]) as parent:
                mode = os.stat(components_of(path)[-1], dir_fd=parent, follow_symlinks=False).st_mode
        except (OSError, FileMissingError):
            return False
        return stat.S_ISDIR(mode) or stat.S_ISREG(mode)

    def free_bytes(self) -> int:
        """Room that is left on the volume for whoever is not its administrator."""
        status = os.statvfs(self._root)
        return status.f_bavail * status.f_frsize

    def list_files(self, path: str) -> list[FileEntry]:
        """Regular files of a directory, top level only, by name. Raises FileMissingError."""
        with self.directory(path) as directory, os.scandir(directory) as entries:
            files = [
                FileEntry(entry.name, entry.stat(follow_symlinks=False).st_size)
                for entry in entries
                if entry.is_file(follow_symlinks=False) and _is_text(entry.name)
            ]
        return sorted(files, key=lambda file: file.name)

    def list_directories(self, path: str) -> list[str]:
        """Names of a directory's subdirectories, hidden ones left out, in order. Raises FileMissingError."""
        with self.directory(path) as directory, os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and _is_text(entry.name)]
        return sorted(name for name in names if not name.startswith("."))

    def list_names(self, path: str) -> list[str]:
        """Names of all that is in a directory. Raises FileMissingError."""
        with self.directory(path) as directory:
            return sorted(filter(_is_text, os.listdir(directory)))

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """A small file. Raises FileMissingError, also for a larger one."""
        file = self.open_file(path)
        try:
            content = os.pread(file.descriptor, max_bytes + 1, 0)
        finally:
            os.close(file.descriptor)
        if len(content) > max_bytes:
            raise FileMissingError(f"{path!r} is larger than {max_bytes} bytes")
        return content

    def open_file(self, path: str) -> OpenFile:
        """A regular file. Raises FileMissingError."""
        components = components_of(path)
        with self._directory(components[:-1]) as parent, _missing(path):
            descriptor = os.open(components[-1], _FILE_FLAGS, dir_fd=parent)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise FileMissingError(f"{path!r} is not a regular file")
        return OpenFile(descriptor, status.st_size, status.st_mtime_ns)

    def tail(self, path: str, count: int, matching: re.Pattern[bytes] | None = None) -> Tail:
        """The last `count` lines (that match), read backwards. Raises FileMissingError.

        At most 16 MiB are read for them, and of each line 64 KiB are kept; the count of lines is of the whole file.
        """
        file = self.open_file(path)
        try:
            lines = _last_lines(file, count, matching)
            total = _count_lines(file) if matching is None else _count_matching(file, matching)
        finally:
            os.close(file.descriptor)
        return Tail([line.decode("utf-8", "replace") for line in lines], total)

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """The descriptor of a directory, no component of which is a link. Raises FileMissingError."""
        with self._directory(components_of(path)) as descriptor:
            yield descriptor

    @contextmanager
    def _directory(self, components: list[str]) -> Iterator[int]:
        with _missing("/".join(components)):
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for component in components:
                try:
                    below = os.open(component, DIRECTORY_FLAGS, dir_fd=descriptor)
                finally:
                    os.close(descriptor)
                descriptor = below
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def components_of(path: str) -> list[str]:
    """The parts of a path inside the workspace. Raises FileMissingError for one that could lead elsewhere."""
    components = path.split("/")
    if any(component in ("", ".", "..") or "\0" in component or not _is_text(component) for component in components):
        raise FileMissingError(f"{path!r} is no path inside the workspace")
    return components


def _is_text(name: str) -> bool:
    """Names that are not UTF-8 come as lone surrogates, which no answer could hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _missing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG, errno.ENXIO):
            raise FileMissingError(f"{path!r} cannot be read") from error
        raise


def _last_lines(file: OpenFile, count: int, matching: re.Pattern[bytes] | None) -> list[bytes]:
    found: list[bytes] = []
    for line in _lines_backwards(file):
        if len(found) >= count:
            break
        if matching is None or matching.search(line):
            found.append(line[:_MAX_LINE_BYTES].rstrip(b"\r"))
    found.reverse()
    return found


def _lines_backwards(file: OpenFile) -> Iterator[bytes]:
    """Lines from the last one on; a line that is being written counts. Memory: a block and the longest kept line."""
    position, rest, is_first = file.size_bytes, b"", True
    lowest = max(0, position - _MAX_TAIL_BYTES)
    while position > lowest:
        start = max(lowest, position - _BLOCK_BYTES)
        block = os.pread(file.descriptor, position - start, start)
        position = start
        pieces = (block + rest).split(b"\n")
        if is_first and pieces[-1] == b"":
            pieces.pop()
        is_first = False
        rest = pieces[0][: 2 * _MAX_LINE_BYTES] if pieces else b""
        yield from reversed(pieces[1:])
    if file.size_bytes and lowest == 0:
        yield rest


def _count_lines(file: OpenFile) -> int:
    total, position, last = 0, 0, b"\n"
    while block := os.pread(file.descriptor, min(1 << 20, file.size_bytes - position), position):
        total += block.count(b"\n")
        position += len(block)
        last = block[-1:]
    return total + (last != b"\n")


def _count_matching(file: OpenFile, matching: re.Pattern[bytes]) -> int:
    total, position, rest = 0, 0, b""
    while block := os.pread(file.descriptor, min(1 << 20, file.size_bytes - position), position):
        position += len(block)
        *lines, rest = (rest + block).split(b"\n")
        rest = rest[:_MAX_LINE_BYTES]
        total += sum(matching.search(line) is not None for line in lines)
    return total + (matching.search(rest) is not None)
