"""One engine for each home: a lock that the kernel releases when its holder dies, with the holder's pid inside."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from fettle_local.home import Home
from fettle_schema.errors import FettleError


class EngineRunningError(FettleError):
    """Another process is the engine of this home."""

    code = "EngineRunning"

    def __init__(self, home: Home, pid: str) -> None:
        super().__init__(
            f"another engine (pid {pid}) works on {home.path}; stop it, or use another home: FETTLE_HOME=DIRECTORY"
        )
        self.pid = pid


@contextmanager
def engine_lock(home: Home) -> Iterator[None]:
    """Be the engine of `home`; raises EngineRunningError."""
    descriptor = os.open(home.engine_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
            raise EngineRunningError(home, pid) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def has_engine(home: Home) -> bool:
    """Whether some process is the engine of `home` now."""
    try:
        with engine_lock(home):
            return False
    except EngineRunningError:
        return True
