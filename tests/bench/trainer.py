"""`make bench-trainer`: tokens per second and memory of this trainer, of bare TRL and of a plain hand-written loop.

All train the same rows of the same model with the same settings, in turns and in one run of this program. A sample is
the time between the ends of two steps. The result is a section of docs/benchmarks.md.
"""

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fettle_local.home import Home
from fettle_local.models import fetch_model
from tests.bench.report import machine_and_versions, write_section

ROOT = Path(__file__).parents[2]
MODEL = "models/smollm2-135m"
LENGTH = 256
ROUNDS = int(os.environ.get("ROUNDS", "2"))
STEPS = int(os.environ.get("STEPS", "6"))
WARM_STEPS = 2
"""Not counted: memory is claimed and kernels are chosen in them."""


@dataclass(frozen=True)
class Task:
    """One training, the same for everybody."""

    name: str
    method: str
    batch_size: int
    sequences: int
    """Sequences in one example: a pair has two."""
    rows: list[dict[str, str]]


@dataclass
class Contender:
    """Somebody who trains, and how it went."""

    name: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0


def main() -> None:
    """Measure all tasks in turns, print a table and write it into the report."""
    lines = ["| | | tokens/s | step s, min … max | n | peak GB | ours ÷ it |", "|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as scratch:
        home = Home.from_environment({**os.environ, "FETTLE_HOME": f"{scratch}/home"})
        fetch_model(home, "smollm2-135m", lambda text: print(text, flush=True))
        for task in tasks():
            contenders = [Contender("this trainer"), Contender("bare TRL"), Contender("hand-written loop")]
            for number in range(ROUNDS):
                for contender in contenders:
                    measure(contender, task, home.workspace, Path(scratch) / f"{task.method}-{number}")
                    print(f"{task.name}: {contender.name}: {statistics.median(contender.seconds):.2f} s", flush=True)
            lines += rows_of(task, contenders)
    machine = machine_and_versions("torch", "transformers", "trl", "peft")
    table = "\n".join([*lines, "", f"SmolLM2-135M-Instruct, LoRA r16, {LENGTH} tokens a sequence. {machine}", ""])
    print(table)
    write_section("Training speed", table)


def tasks() -> list[Task]:
    """SFT with loss on a quarter of the tokens and on all, and DPO. Every sequence is cut at the same length."""
    words = random.Random(0)
    vocabulary = [
        "pod",
        "node",
        "job",
        "log",
        "secret",
        "event",
        "list",
        "show",
        "get",
        "the",
        "of",
        "in",
        "all",
        "with",
        "name",
        "label",
    ]

    def text(count: int) -> str:
        return " ".join(words.choice(vocabulary) for _ in range(count))

    count = 4 * (STEPS + WARM_STEPS)
    quarter = [{"prompt": text(190) + " ", "completion": text(120)} for _ in range(count)]
    everything = [{"text": text(300)} for _ in range(count)]
    pairs = [{"prompt": text(120) + " ", "chosen": text(200), "rejected": text(200)} for _ in range(count)]
    return [
        Task("SFT, a quarter of the tokens carries loss", "sft", 4, 1, quarter),
        Task("SFT, all tokens carry loss", "sft", 4, 1, everything),
        Task("DPO", "dpo", 2, 2, pairs),
    ]


def measure(contender: Contender, task: Task, workspace: Path, directory: Path) -> None:
    """Train once in a process of its own and add the samples."""
    dataset = workspace / "datasets" / "bench.jsonl"
    dataset.parent.mkdir(parents=True, exist_ok=True)
    dataset.write_text("".join(json.dumps(row) + "\n" for row in task.rows))
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / f"{contender.name.replace(' ', '-')}.json"
    if contender.name == "this trainer":
        command = [sys.executable, "-m", "fettle_trainer.run", str(write_run(task, directory))]
    else:
        peer = "trl" if contender.name == "bare TRL" else "loop"
        arguments = [peer, task.method, str(workspace), str(task.batch_size), str(STEPS + WARM_STEPS), str(target)]
        command = [sys.executable, "-m", "tests.bench.peers", *arguments]
    environment = {
        **os.environ,
        "FETTLE_WORKSPACE": str(workspace),
        "HF_HUB_OFFLINE": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    if contender.name == "this trainer":
        ends, peak = of_our_run(workspace)
    else:
        found = json.loads(target.read_text())
        ends, peak = found["ends"], found["peakBytes"]
    contender.seconds += [
        later - earlier for earlier, later in zip(ends[WARM_STEPS - 1 :], ends[WARM_STEPS:], strict=False)
    ]
    contender.peak_bytes = max(contender.peak_bytes, peak)


def write_run(task: Task, directory: Path) -> Path:
    """The run of this trainer."""
    settings: dict[str, Any] = {
        "maxSteps": STEPS + WARM_STEPS,
        "batchSize": task.batch_size,
        "learningRate": 1e-4,
        "maxLength": LENGTH,
        "scheduler": "constant",
    }
    config = {
        "job": {"name": "bench", "namespace": "default", "uid": "0", "attempt": 1},
        "directory": "jobs/bench",
        "method": task.method,
        "baseModel": {"path": MODEL},
        "dataset": {"source": {"workspace": {"path": "datasets/bench.jsonl"}}, "shuffle": False},
        "adapter": {"type": "lora", "rank": 16, "alpha": 32, "dropout": 0.0, "targetModules": ["all-linear"]},
        "hyperparameters": settings if task.method == "sft" else {**settings, "beta": 0.1},
        "checkpoint": {"everySteps": 1000},
        "output": {"name": "bench"},
    }
    file = directory / "run.json"
    file.write_text(json.dumps(config))
    return file


def of_our_run(workspace: Path) -> tuple[list[float], int]:
    """Ends of the steps, and the peak, from the metrics that the trainer wrote."""
    metrics = workspace / "jobs" / "bench" / "metrics.jsonl"
    steps = [event for line in metrics.read_text().splitlines() if (event := json.loads(line))["kind"] == "step"]
    shutil.rmtree(metrics.parent)  # its last checkpoint would be continued
    ends = [datetime.fromisoformat(event["time"]).timestamp() for event in steps]
    return ends, max(event["peakMemoryBytes"] for event in steps)


def rows_of(task: Task, contenders: list[Contender]) -> list[str]:
    """Lines of the table."""
    tokens = task.batch_size * task.sequences * LENGTH
    ours = statistics.median(contenders[0].seconds)
    lines = []
    for contender in contenders:
        middle = statistics.median(contender.seconds)
        lines.append(
            f"| {task.name} | {contender.name} | {tokens / middle:.0f} | "
            f"{middle:.2f}, {min(contender.seconds):.2f} … {max(contender.seconds):.2f} | {len(contender.seconds)} | "
            f"{contender.peak_bytes / 1e9:.2f} | {middle / ours:.2f} |"
        )
    return lines


if __name__ == "__main__":
    main()
