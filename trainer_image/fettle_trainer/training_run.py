"""One run as a method sees it. Holds no logic."""

from dataclasses import dataclass, field

from fettle_schema.run import RunConfig
from fettle_trainer.distributed import Processes
from fettle_trainer.job_files import JobFiles
from fettle_trainer.progress import ProgressLog
from fettle_trainer.stopping import StopFlag


class RestartRequested(BaseException):
    """The process must be started again, with what it left in the job's directory.

    Not an Exception: libraries must not swallow it.
    """


@dataclass
class Run:
    """What a method gets: the configuration, and the ways to reach the world."""

    config: RunConfig
    files: JobFiles
    progress: ProgressLog
    stop: StopFlag
    processes: Processes = field(default_factory=Processes)
    step: int = 0
    """Optimizer steps done, kept up to date for the result of a run that fails."""
    started_from_step: int = 0
