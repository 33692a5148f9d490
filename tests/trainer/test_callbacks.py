"""The time left is right once the first step is over."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


def test_the_first_step_does_not_count_for_the_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fettle_trainer import callbacks
    from fettle_trainer.progress import ProgressLog

    now = [100.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    progress = ProgressLog(tmp_path / "metrics.jsonl", 1)
    seen: list[Any] = []
    progress.subscribe(seen.append)
    callback = callbacks.ProgressCallback(progress, callbacks.Totals(), uses_gpu=False)
    state = SimpleNamespace(global_step=5, max_steps=105, epoch=0.5)
    control = SimpleNamespace(should_log=True)
    callback.on_train_begin(None, state, control)
    for seconds in (40.0, *[2.0] * 10):
        now[0] += seconds
        state.global_step += 1
        callback.on_step_end(None, state, control)
        callback.on_log(None, state, control, {"loss": 1.0, "learning_rate": 0.1})

    left = [event.eta_seconds for event in seen if event.kind == "step"]
    assert left[0] == 40.0 * 99
    assert left[-1] == 2.0 * 89
