"""TensorBoard: event files below the job's directory, written without torch."""

import time
from collections.abc import Sequence
from pathlib import Path

from fettle_trainer.tracking.port import Outcome, Point, RunFacts

DIRECTORY = "tensorboard"


class TensorBoardTracker:
    """One event file for each attempt, all in one directory, which TensorBoard shows as one run.

    The first point after a restart purges what was written before from that step on: those steps are repeated.
    """

    def __init__(self, directory: Path, facts: RunFacts, attempt: int) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore[import-untyped]

        self._is_restart = any(directory.glob("events.out.tfevents.*"))
        self._facts: RunFacts | None = None if self._is_restart else facts
        self._writer = EventFileWriter(str(directory), flush_secs=10, filename_suffix=f".{attempt}")

    def log(self, points: Sequence[Point]) -> None:
        """Append scalars."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        if self._facts is not None:
            self._write_facts(self._facts)
            self._facts = None
        for point in points:
            if self._is_restart:
                start = SessionLog(status=SessionLog.START)
                self._writer.add_event(Event(wall_time=point.time_seconds, step=point.step, session_log=start))
                self._is_restart = False
            values = [Summary.Value(tag=name, simple_value=value) for name, value in point.metrics.items()]
            event = Event(wall_time=point.time_seconds, step=point.step, summary=Summary(value=values))
            self._writer.add_event(event)
        self._writer.flush()

    def finish(self, outcome: Outcome) -> None:
        """Close the file."""
        self._writer.close()

    def _write_facts(self, facts: RunFacts) -> None:
        """A table for TensorBoard's text page."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
        from tensorboard.compat.proto.types_pb2 import DT_STRING  # type: ignore[import-untyped]

        rows = "".join(f"| {name} | {value} |\n" for name, value in {**facts.tags, **facts.parameters}.items())
        text = TensorProto(dtype=DT_STRING, string_val=[f"| | |\n|---|---|\n{rows}".encode()])
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        value = Summary.Value(tag="parameters", tensor=text, metadata=metadata)
        self._writer.add_event(Event(wall_time=time.time(), step=0, summary=Summary(value=[value])))
