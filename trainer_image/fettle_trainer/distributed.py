"""One of several processes that train together: who it is, and how all agree. torch is imported when they meet.

With one process, everything here does nothing. Only the first process speaks: it writes progress, log lines and
checkpoints' manifests; the others are heard when they fail.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.child_process import die_with_parent
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.launch import ENV_RANK_RESULTS
from fettle_trainer.progress import ProgressLog
from fettle_trainer.rank_results import ORDERLY, leave_result

Value = TypeVar("Value")
_LOST_PEER_TEXTS = ("gloo", "nccl", "closed by peer", "reset by peer", "broken pipe", "tcpstore", "process group")


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    results: Path | None = None
    """Where each leaves its RunResult, for a supervisor."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Processes":
        """As torchrun tells its processes; one alone without it."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        if not all(environment.get(name, "").isdigit() for name in names):
            return cls()
        rank, count, local_rank = (int(environment[name]) for name in names)
        directory = environment.get(ENV_RANK_RESULTS)
        return cls(rank, count, local_rank, Path(directory) if directory else None)

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        return self.count == 1

    def settle(self) -> None:
        """Be quiet unless first, and end with torchrun, which starts each process in a session of its own."""
        if self.is_alone:
            return
        die_with_parent(os.getppid())
        if not self.is_first:
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives

    def progress_log(self, path: Path, attempt: int) -> ProgressLog:
        """Where this process reports to."""
        return ProgressLog(path, attempt) if self.is_first else _SilentProgress(path, attempt)

    def meet(self, *, uses_gpu: bool, timeout_seconds: float) -> None:
        """Wait until all are there. Also on GPUs, numbers in main memory are exchanged without waiting for the GPU.

        TrainerFailure (75) if there is no GPU for this process.
        """
        if self.is_alone:
            return
        import torch

        if uses_gpu:
            self._take_gpu(torch.cuda.device_count())
            torch.cuda.set_device(self.local_rank)
        backend = "cpu:gloo,cuda:nccl" if uses_gpu else "gloo"
        torch.distributed.init_process_group(backend, timeout=timedelta(seconds=timeout_seconds))

    def _take_gpu(self, found: int) -> None:
        if self.local_rank >= found:
            raise TrainerFailure(
                ExitCode.RETRY,
                f"spec.resources.gpusPerNode: process {self.rank} needs GPU {self.local_rank} of its node, but PyTorch "
                f"finds {found}",
                "Check the node's device plugin and what the pod was given.",
            )

    def add_up(self, *numbers: int) -> list[int]:
        """Each number summed over all processes, which must all call this. Nobody returns before all have called."""
        if self.is_alone:
            return list(numbers)
        import torch

        tensor = torch.tensor(numbers, dtype=torch.int64)
        torch.distributed.all_reduce(tensor)
        return [int(number) for number in tensor]

    def wait(self) -> None:
        """Until all processes have come here."""
        self.add_up(0)

    def from_first(self, value: Value) -> Value:
        """What the first process gives, in all of them."""
        if self.is_alone:
            return value
        import torch

        values = [value]
        torch.distributed.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]

    def lost_peer(self, error: BaseException) -> TrainerFailure | None:
        """The failure of a process whose neighbour has gone; None if `error` is something else."""
        torch = sys.modules.get("torch")
        if self.is_alone or torch is None or not isinstance(error, RuntimeError):
            return None
        is_network = isinstance(error, torch.distributed.DistError)
        if not is_network and not any(text in str(error).lower() for text in _LOST_PEER_TEXTS):
            return None
        return TrainerFailure(
            ExitCode.RETRY,
            f"the connection to another process of the run was lost: {str(error)[:500]}",
            "Look at the end of the other process's log, and at the events of its pod.",
        )

    def leave(self, directory: Path, result: dict[str, Any]) -> NoReturn:
        """Leave a RunResult for the supervisor and end the process here and now.

        Libraries would wait for processes that are gone; destroying the process group does so too, now and then.
        """
        exit_code = int(result["exitCode"])
        leave_result(directory, self.rank, result)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # torchrun kills the other processes when one does not end with 0, also those that still stop in good order.
        os._exit(0 if exit_code in ORDERLY else exit_code)


class _SilentProgress(ProgressLog):
    """Of the processes that are not the first: stage and warnings are kept, nothing is written."""

    def write(self, **fields: Any) -> None:
        pass
