"""The GPUs of this machine and which of them are free. Without a driver there are none."""

import shutil
import subprocess
from collections.abc import Callable


def installed_gpus() -> list[str]:
    """Uuids of the GPUs, as `nvidia-smi` lists them; empty without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (subprocess.SubprocessError, OSError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


class GpuPool:
    """Hands GPUs to pods, each to one pod at a time."""

    def __init__(self, find: Callable[[], list[str]] = installed_gpus) -> None:
        self._find = find
        self._all: list[str] | None = None
        self._taken: dict[str, str] = {}

    @property
    def count(self) -> int:
        """GPUs of this machine."""
        return len(self._known())

    def take(self, pod_uid: str, wanted: int, named: str = "") -> list[str] | None:
        """`wanted` free GPUs for a pod, or None while there are not enough.

        `named` is the pod's own CUDA_VISIBLE_DEVICES: if it names as many, by number or uuid, it gets those, no others.
        """
        if wanted == 0:
            return []
        free = [gpu for gpu in self._named(wanted, named) if gpu not in self._taken]
        if len(free) < wanted:
            return None
        self._taken.update(dict.fromkeys(free[:wanted], pod_uid))
        return free[:wanted]

    def release(self, pod_uid: str) -> None:
        """Give back whatever the pod holds."""
        self._taken = {gpu: holder for gpu, holder in self._taken.items() if holder != pod_uid}

    def shortage(self, wanted: int) -> str:
        """Why `wanted` GPUs cannot be had, as the scheduler would say it."""
        if wanted <= self.count:
            return (
                f"0/1 nodes are available: {wanted} GPUs wanted, {self.count - len(self._taken)} of {self.count} free."
            )
        hint = "set spec.resources.gpusPerNode to 0 to train on the CPU"
        return f"0/1 nodes are available: {wanted} GPUs wanted, this machine has {self.count}; {hint}."

    def _named(self, wanted: int, named: str) -> list[str]:
        names = [name.strip() for name in named.split(",") if name.strip()]
        if len(names) != wanted:
            return self._known()
        numbered = dict(enumerate(self._known()))
        return [gpu for number, gpu in numbered.items() if str(number) in names or gpu in names]

    def _known(self) -> list[str]:
        if self._all is None:
            self._all = self._find()
        return self._all
