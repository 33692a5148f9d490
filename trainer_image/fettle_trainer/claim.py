"""One run at a time in a job's directory, by a lock that the kernel drops when the run's last process ends."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure

WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.1
_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def claim_directory(
    lock: Path, wait_seconds: float = WAIT_SECONDS, warn: Callable[[str], None] = lambda message: None
) -> int:
    """Take the lock and return its descriptor, which the training process inherits: a supervisor that is killed does
    not free the directory while its child still writes. TrainerFailure (75) if another run keeps it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise TrainerFailure(
                    ExitCode.RETRY,
                    f"another run of this job still writes to {lock.parent.name!r}",
                    "Wait until it has ended; it is started again by itself.",
                ) from error
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            warn(
                f"the workspace has no file locks ({error.strerror}); two runs of this job would not notice each other"
            )
            return descriptor
        else:
            return descriptor
