"""How a running job looks in a terminal: a bar with stage, step, loss and time left; plain lines elsewhere."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fettle_client.protocol import Manifest

_PLAIN_STEPS = 10
"""Lines for steps where there is no terminal: one for each tenth."""


class ProgressView:
    """Call `show` with the job at every change, inside the `with` block."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_terminal = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[steps]:>9}"),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[eta]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("Pending", total=None, steps="", loss="", eta="")
        self._last_line: tuple[Any, ...] = ()
        self._last_explanation: str | None = None

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_terminal:
            self._bar.stop()

    def show(self, job: Manifest) -> None:
        """The job as it is now."""
        status = job.get("status") or {}
        progress = status.get("progress") or {}
        self._explain_waiting(status)
        if self._is_terminal:
            self._update_bar(status, progress)
        else:
            self._print_line(job["metadata"]["name"], status, progress)

    def _explain_waiting(self, status: dict[str, Any]) -> None:
        """Say once why a job does not run, where it waits for something that may take long."""
        is_waiting = status.get("phase") in ("Queued", "Suspended") or status.get("reason") == "Unschedulable"
        message = status.get("message") if is_waiting else None
        if message and message != self._last_explanation:
            self._console.print(f"{status['phase']}: {message}", highlight=False, soft_wrap=True)
        self._last_explanation = message

    def _update_bar(self, status: dict[str, Any], progress: dict[str, Any]) -> None:
        self._bar.update(
            self._task,
            description=_stage(status, progress),
            total=progress.get("totalSteps"),
            completed=progress.get("step") or 0,
            steps=progress.get("summary") or "",
            loss=f"loss {progress['loss']:.3f}" if progress.get("loss") is not None else "",
            eta=f"ETA {progress['eta']}" if progress.get("eta") else "",
        )

    def _print_line(self, name: str, status: dict[str, Any], progress: dict[str, Any]) -> None:
        step, total = progress.get("step") or 0, progress.get("totalSteps") or 0
        line = (_stage(status, progress), step * _PLAIN_STEPS // total if total else 0)
        if line == self._last_line:
            return
        self._last_line = line
        parts = [f"{name}: {line[0]}", progress.get("summary"), _named("loss", progress), _named("eta", progress)]
        self._console.print("  ".join(part for part in parts if part), highlight=False, soft_wrap=True)


def _stage(status: dict[str, Any], progress: dict[str, Any]) -> str:
    phase = status.get("phase") or "Pending"
    is_current = progress.get("attempt") == (status.get("attempts") or {}).get("current")
    stage = progress.get("stage")
    return stage.replace("_", " ") if phase == "Running" and stage and is_current else str(phase)


def _named(name: str, progress: dict[str, Any]) -> str:
    return f"{name} {progress[name]}" if progress.get(name) is not None else ""
