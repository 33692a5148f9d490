"""`make bench-start`: from the command to the first optimizer step, by `fettle run`, by the trainer alone, by bare TRL.

All three train the same rows of the same model with the same settings, in turns and in one run of this program, so
that a busy machine slows them alike. The result is a section of docs/benchmarks.md.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fettle_schema.manifests import dump_manifest, load_manifests
from tests.bench.report import machine_and_versions, write_section

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "examples" / "kubectl-helper.yaml"
DATASET = ROOT / "examples" / "datasets" / "kubectl"
FETTLE = Path(sys.executable).with_name("fettle")
ROUNDS = int(os.environ.get("ROUNDS", "5"))
DEADLINE_SECONDS = 300.0


@dataclass
class Contender:
    """One way to start a training, and how long it took each time."""

    name: str
    start: Callable[[Path], float]
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Measure in turns, print a table and write it into the report."""
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as scratch:
        home = Path(scratch) / "home"
        prepare(home)
        contenders = [
            Contender("`fettle run`", lambda turn: first_step_of_fettle_run(home, turn)),
            Contender("`python -m fettle_trainer`", lambda turn: first_step_of_trainer(home, turn)),
            Contender("bare TRL", lambda turn: first_step_of_bare_trl(home, turn)),
        ]
        for number in range(ROUNDS):
            for contender in contenders:
                turn = Path(scratch) / f"{number}"
                turn.mkdir(exist_ok=True)
                contender.seconds.append(contender.start(turn))
                print(f"{contender.name}: {contender.seconds[-1]:.2f} s", flush=True)
    table = report(contenders)
    print(table)
    write_section("Start to first optimizer step", table)


def prepare(home: Path) -> None:
    """A home with the model and the dataset of the example."""
    fettle(home, "models", "fetch", "smollm2-135m")
    fettle(home, "datasets", "add", "kubectl", str(DATASET))


def fettle(home: Path, *arguments: str) -> None:
    """Run a command of ours and raise when it fails."""
    subprocess.run([str(FETTLE), *arguments], env=environment(home), check=True, stdout=subprocess.DEVNULL)


def environment(home: Path) -> dict[str, str]:
    """The environment of all contenders."""
    return {**os.environ, "FETTLE_HOME": str(home), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}


def first_step_of_fettle_run(home: Path, turn: Path) -> float:
    """From the command to the first step in the job's metrics."""
    manifest = load_manifests(MANIFEST.read_text())[0]
    manifest["metadata"]["name"] = f"bench-{turn.name}"
    manifest["spec"]["hyperparameters"].pop("epochs", None)
    manifest["spec"]["hyperparameters"]["maxSteps"] = 1
    file = turn / "job.yaml"
    file.write_text(dump_manifest(manifest))
    pattern = f"jobs/bench-{turn.name}-*/metrics.jsonl"
    return seconds_to_step([str(FETTLE), "run", str(file)], home, lambda: (home / "workspace").glob(pattern))


def first_step_of_trainer(home: Path, turn: Path) -> float:
    """The same run, started by hand from the run.json of the run above."""
    (source,) = (home / "workspace").glob(f"jobs/bench-{turn.name}-*/run.json")
    config = json.loads(source.read_text())
    config["directory"] = f"jobs/by-hand-{turn.name}"
    config["job"]["name"] = f"by-hand-{turn.name}"
    config["output"]["name"] = f"by-hand-{turn.name}"
    file = turn / "run.json"
    file.write_text(json.dumps(config))
    pattern = f"{config['directory']}/metrics.jsonl"
    command = [sys.executable, "-m", "fettle_trainer", str(file)]
    return seconds_to_step(command, home, lambda: (home / "workspace").glob(pattern))


def first_step_of_bare_trl(home: Path, turn: Path) -> float:
    """A plain script over TRL's SFTTrainer with the same settings, that leaves a metrics file of its own."""
    target = turn / "trl.jsonl"
    command = [sys.executable, "-m", "tests.bench.bare_trl", str(home / "workspace"), str(target)]
    return seconds_to_step(command, home, lambda: [target])


def seconds_to_step(command: list[str], home: Path, metrics: Callable[[], object]) -> float:
    """Start a command and wait until a metrics file holds a step; then let the command end."""
    variables = {**environment(home), "FETTLE_WORKSPACE": str(home / "workspace")}
    begin = time.monotonic()
    process = subprocess.Popen(
        command, env=variables, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    elapsed = None
    while elapsed is None and time.monotonic() - begin < DEADLINE_SECONDS:
        elapsed = time.monotonic() - begin if has_step(metrics()) else None
        if elapsed is None and process.poll() not in (None, 0):
            raise SystemExit(f"{' '.join(command)}\n{process.communicate()[1][-2000:]}")
        time.sleep(0.02)
    process.communicate(timeout=DEADLINE_SECONDS)
    if elapsed is None:
        raise SystemExit(f"no step within {DEADLINE_SECONDS:.0f} s: {' '.join(command)}")
    return elapsed


def has_step(files: object) -> bool:
    """Whether any of the files reports an optimizer step."""
    assert hasattr(files, "__iter__")
    for file in files:
        if file.exists() and any('"kind":"step"' in line.replace(" ", "") for line in file.read_text().splitlines()):
            return True
    return False


def report(contenders: list[Contender]) -> str:
    """A Markdown table: medians, spread and the ratio to bare TRL."""
    peer = statistics.median(contenders[-1].seconds)
    lines = ["| | median s | min … max s | n | ratio to bare TRL |", "|---|---|---|---|---|"]
    for contender in contenders:
        middle = statistics.median(contender.seconds)
        spread = f"{min(contender.seconds):.2f} … {max(contender.seconds):.2f}"
        lines.append(f"| {contender.name} | {middle:.2f} | {spread} | {len(contender.seconds)} | {middle / peer:.2f} |")
    machine = machine_and_versions("torch", "transformers", "trl", "peft")
    return "\n".join([*lines, "", f"SmolLM2-135M-Instruct, LoRA r16, batch 4. {machine}", ""])


if __name__ == "__main__":
    if not shutil.which(str(FETTLE)):
        raise SystemExit(f"{FETTLE} is missing: run `make install`")
    main()
