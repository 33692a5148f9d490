"""The facade's writes into the workspace: complete or not at all, and never through a link that a trainer planted.

What is written lies below a hidden directory first, is flushed to disk, and gets its place by one rename that fails if
the place is taken. All calls block: the callers run them in threads.
"""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fettle_api.errors import FileMissingError, NameTakenError, StorageFullError
from fettle_api.files.workspace import DIRECTORY_FLAGS, Workspace, components_of

STAGING_PREFIX = ".adding-"
_REMOVAL_PREFIX = ".removing-"
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ABANDONED_SECONDS = 24 * 3600


class WorkspaceWriter:
    """Changes below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = Workspace(root)

    def stage(self, directory: str) -> "Staging":
        """A hidden directory in `directory`, which is made if missing. Raises NameTakenError, StorageFullError."""
        with self.made_directory(directory) as descriptor:
            _sweep(descriptor)
        return Staging(self, directory, f"{STAGING_PREFIX}{secrets.token_hex(8)}")

    def write_file(self, path: str, content: bytes, replace: bool = False) -> None:
        """One whole file. Raises NameTakenError if it exists and is not to be replaced, StorageFullError."""
        *above, name = components_of(path)
        with self.made_directory("/".join(above)) as parent, _storage(path):
            partial = f"{STAGING_PREFIX}{secrets.token_hex(8)}"
            try:
                write_synced(parent, partial, content)
                if replace:
                    os.rename(partial, name, src_dir_fd=parent, dst_dir_fd=parent)
                else:
                    os.link(partial, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
                os.fsync(parent)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(partial, dir_fd=parent)

    def remove_file(self, path: str) -> None:
        """Raises FileMissingError."""
        *above, name = components_of(path)
        with self._files.directory("/".join(above)) as parent:
            try:
                os.unlink(name, dir_fd=parent)
            except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
                raise FileMissingError(f"{path!r} cannot be removed") from error

    def remove_directory(self, path: str) -> None:
        """A directory with all that is in it; it is gone at once, whatever happens then. Raises FileMissingError."""
        *above, name = components_of(path)
        with self._files.directory(path), self._files.directory("/".join(above)) as parent:
            hidden = f"{_REMOVAL_PREFIX}{secrets.token_hex(8)}"
            try:
                os.rename(name, hidden, src_dir_fd=parent, dst_dir_fd=parent)
            except FileNotFoundError as error:
                raise FileMissingError(f"{path!r} was removed meanwhile") from error
            shutil.rmtree(hidden, ignore_errors=True, dir_fd=parent)

    @contextmanager
    def made_directory(self, path: str) -> Iterator[int]:
        """The descriptor of a directory, made if it is missing. Raises NameTakenError, StorageFullError."""
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for component in components_of(path):
                with _storage(path):
                    with suppress(FileExistsError):
                        os.mkdir(component, dir_fd=descriptor)
                    below = os.open(component, DIRECTORY_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)


class Staging:
    """Files on their way into the workspace. Whoever holds it calls `publish` or `discard`."""

    def __init__(self, writer: WorkspaceWriter, directory: str, name: str) -> None:
        self._writer, self._directory, self._name = writer, directory, name
        with writer.made_directory(f"{directory}/{name}") as descriptor:
            self._descriptor = os.dup(descriptor)

    def create(self, name: str) -> int:
        """Descriptor of a new, empty file; `close_synced` ends it."""
        with _storage(name):
            return os.open(name, _FILE_FLAGS, 0o644, dir_fd=self._descriptor)

    def add_file(self, name: str, content: bytes) -> None:
        """A whole file."""
        with _storage(name):
            write_synced(self._descriptor, name, content)

    def publish(self, path: str) -> None:
        """Rename all of it to `path`. Raises NameTakenError, and can then be tried elsewhere."""
        *above, name = components_of(path)
        with (
            self._writer.made_directory("/".join(above)) as target,
            self._writer.made_directory(self._directory) as source,
            _storage(path),
        ):
            os.fsync(self._descriptor)
            os.rename(self._name, name, src_dir_fd=source, dst_dir_fd=target)
            os.fsync(target)

    def discard(self) -> None:
        """Remove what was not published; safe to call in any case."""
        os.close(self._descriptor)
        with suppress(FileMissingError), self._writer.made_directory(self._directory) as parent:
            shutil.rmtree(self._name, ignore_errors=True, dir_fd=parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Raises StorageFullError."""
    view = memoryview(content)
    with _storage("the file"):
        while view:
            view = view[os.write(descriptor, view) :]


def close_synced(descriptor: int) -> None:
    """Flush to disk and close. Raises StorageFullError: some file systems say so only now."""
    try:
        with _storage("the file"):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(parent: int, name: str, content: bytes) -> None:
    """A new file in an open directory, on disk when this returns."""
    descriptor = os.open(name, _FILE_FLAGS, 0o644, dir_fd=parent)
    try:
        write_all(descriptor, content)
    except BaseException:
        os.close(descriptor)
        raise
    close_synced(descriptor)


def _sweep(directory: int) -> None:
    """Remove what a facade that was killed left behind a day ago."""
    oldest = time.time() - _ABANDONED_SECONDS
    with os.scandir(directory) as entries:
        hidden = [entry.name for entry in entries if entry.name.startswith((STAGING_PREFIX, _REMOVAL_PREFIX))]
    for name in hidden:
        with suppress(FileNotFoundError):  # it has just been published
            if os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime < oldest:
                shutil.rmtree(name, ignore_errors=True, dir_fd=directory)


@contextmanager
def _storage(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError("the workspace is full; delete datasets or jobs that nobody needs") from error
        if error.errno in _TAKEN or error.errno == errno.ELOOP:
            raise NameTakenError(f"{path!r} exists already, or leads through something that is no directory") from error
        raise
