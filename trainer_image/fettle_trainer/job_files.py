"""Where a run reads and writes inside the workspace. Paths only; the standard library and the contract's names."""

from dataclasses import dataclass
from pathlib import Path

from fettle_schema import layout

LOCK_FILE = "lock"


@dataclass(frozen=True)
class JobFiles:
    """The directory of a job, seen from one attempt."""

    workspace: Path
    directory: Path
    """Directory of the job; `log`, `metrics` and `run` are shared by its attempts."""
    attempt: int

    @property
    def run(self) -> Path:
        return self.directory / layout.RUN_FILE

    @property
    def log(self) -> Path:
        return self.directory / layout.LOG_FILE

    @property
    def metrics(self) -> Path:
        return self.directory / layout.METRICS_FILE

    @property
    def lock(self) -> Path:
        return self.directory / LOCK_FILE

    @property
    def findings(self) -> Path:
        return self.directory / layout.FINDINGS_FILE

    @property
    def attempts(self) -> Path:
        return self.directory / "attempts"

    @property
    def attempt_directory(self) -> Path:
        return self.attempts / str(self.attempt)

    @property
    def checkpoints(self) -> Path:
        return self.attempt_directory / layout.CHECKPOINTS

    @property
    def result(self) -> Path:
        return self.attempt_directory / layout.RESULT_FILE

    def inside(self, path: Path) -> str:
        """`path` as the contract writes it: relative to the workspace, with forward slashes."""
        return path.relative_to(self.workspace).as_posix()


def job_files(workspace: Path, directory: str, attempt: int) -> JobFiles:
    """The files of `attempt` in the job directory `directory` of RunConfig; ValueError if that leaves the workspace."""
    parts = Path(directory).parts
    if not parts or Path(directory).is_absolute() or ".." in parts:
        raise ValueError(f"{directory!r} is not a path inside the workspace")
    return JobFiles(workspace, workspace.joinpath(*parts), attempt)
