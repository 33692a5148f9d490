"""Numbers that tell the clusters of one machine apart: a slot, and the addresses, ports and names it stands for.

A slot is taken by a lock that the cluster's own processes hold: it is free again when the last of them ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import ClusterError

COUNT = 100
# Below the range that the kernel hands out by itself, so that only a fixed port of another program can collide.
FIRST_PORT = 20000


@dataclass(frozen=True)
class Slot:
    """Everything that must differ between two clusters of one machine."""

    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < COUNT:
            raise ValueError(f"slot {self.number!r}: allowed are 0 to {COUNT - 1}")

    @property
    def host_ip(self) -> str:
        """The machine's end of the link to the node."""
        return f"10.200.{self.number}.1"

    @property
    def node_ip(self) -> str:
        """The node's end of that link."""
        return f"10.200.{self.number}.2"

    @property
    def pods(self) -> str:
        """The network of the pods."""
        return f"10.201.{self.number}.0/24"

    @property
    def services(self) -> str:
        """The network of the Services."""
        return f"10.202.{self.number}.0/24"

    @property
    def service_ip(self) -> str:
        """The address of the Service `kubernetes`."""
        return f"10.202.{self.number}.1"

    @property
    def link_name(self) -> str:
        """The network link that the machine sees."""
        return f"fettle{self.number}"

    @property
    def cgroup_name(self) -> str:
        """The cgroup that holds all pods."""
        return f"fettle-test-{self.number}"

    @property
    def ports(self) -> tuple[int, int, int]:
        """The ports of the API server, of etcd, and of etcd's peers."""
        first = FIRST_PORT + 3 * self.number
        return first, first + 1, first + 2


@contextmanager
def take(number: int | None = None) -> Iterator[tuple[Slot, int]]:
    """The slot of that number, or a free one, and the descriptor of its lock.

    Pass the descriptor on to a process that lives as long as the slot is in use.
    """
    for candidate in range(COUNT) if number is None else [number]:
        slot = Slot(candidate)
        with closing(_Lock(slot)) as lock:
            if lock.taken and all(_is_free(port) for port in slot.ports):
                yield slot, lock.descriptor
                return
    which = f"slot {number} is" if number is not None else f"all {COUNT} slots are"
    raise ClusterError(f"{which} in use: other clusters run on this machine, or programs on ports {FIRST_PORT}+")


@contextmanager
def abandoned(slot: Slot) -> Iterator[bool]:
    """Whether no living cluster holds the slot; nobody takes it meanwhile."""
    with closing(_Lock(slot)) as lock:
        yield lock.taken


class _Lock:
    def __init__(self, slot: Slot) -> None:
        folder = Path(tempfile.gettempdir()) / f"fettle-slots-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.descriptor = os.open(folder / str(slot.number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.taken = True
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.taken = False

    def close(self) -> None:
        os.close(self.descriptor)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True
