"""Running the trainer as a user of the image would: a workspace, a run.json, a process, an exit code."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 600.0
"""Longest wait for a run of seconds: machines that test are busy."""
UID = "1a2b3c4d-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class RunFiles:
    """Where a started run reads and writes."""

    workspace: Path
    run_file: Path
    message: Path
    directory: Path
    attempt: int

    def result(self) -> dict[str, Any]:
        """The attempt's RunResult."""
        result = json.loads((self.directory / "attempts" / str(self.attempt) / "result.json").read_text())
        assert isinstance(result, dict)
        return result

    def termination(self) -> dict[str, Any]:
        """The termination message."""
        assert len(self.message.read_bytes()) <= 4096
        message = json.loads(self.message.read_text())
        assert isinstance(message, dict)
        return message

    def log(self) -> str:
        return (self.directory / "log.txt").read_text()

    def events(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl."""
        path = self.directory / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def losses(self) -> dict[int, float]:
        """Training loss by step."""
        return {event["step"]: event["loss"] for event in self.events() if "loss" in event}


def run_config(**changes: Any) -> dict[str, Any]:
    """A RunConfig for a short training of the tiny model on `datasets/train.jsonl`."""
    config: dict[str, Any] = {
        "schemaVersion": "fettle.dev/run/v1alpha1",
        "job": {"name": "demo", "namespace": "default", "uid": UID, "attempt": 1},
        "directory": f"jobs/demo-{UID[:8]}",
        "method": "sft",
        "baseModel": {"path": "models/tiny"},
        "dataset": {"source": {"workspace": {"path": "datasets/train.jsonl"}}},
        "adapter": {"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.05, "targetModules": ["all-linear"]},
        "hyperparameters": {
            "maxSteps": 8,
            "batchSize": 2,
            "gradientAccumulationSteps": 2,
            "learningRate": 0.01,
            "maxLength": 128,
            "warmupSteps": 1,
            "precision": "fp32",
        },
        "checkpoint": {"everySteps": 3, "keepLast": 2},
        "output": {"name": "demo"},
        "limits": {"terminationGracePeriodSeconds": 60},
    }
    for key, value in changes.items():
        is_merged = isinstance(value, dict) and key in ("job", "hyperparameters", "adapter", "limits", "checkpoint")
        config[key] = {**config.get(key, {}), **value} if is_merged else value
    return config


def write_run(workspace: Path, config: dict[str, Any]) -> RunFiles:
    """Put `config` where a pod would find it."""
    attempt = config["job"]["attempt"]
    outside = workspace.parent / f"{workspace.name}-{Path(config['directory']).name}-a{attempt}"
    outside.mkdir(exist_ok=True)
    run_file = outside / "run.json"
    run_file.write_text(json.dumps(config))
    return RunFiles(workspace, run_file, outside / "termination", workspace / config["directory"], attempt)


def environment(files: RunFiles, **changes: str) -> dict[str, str]:
    """What the operator sets, on a machine without network."""
    given = {
        **os.environ,
        "FETTLE_WORKSPACE": str(files.workspace),
        "FETTLE_TERMINATION_MESSAGE_PATH": str(files.message),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        **changes,
    }
    return {key: value for key, value in given.items() if value}


def start_run(files: RunFiles, **changes: str) -> "subprocess.Popen[str]":
    """Start the supervisor; its output is in log.txt as well."""
    return subprocess.Popen(
        [sys.executable, "-m", "fettle_trainer", str(files.run_file)],
        env=environment(files, **changes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finish_run(files: RunFiles, timeout_seconds: float = PATIENCE_SECONDS, **changes: str) -> int:
    """Start the supervisor and wait for its exit code."""
    process = start_run(files, **changes)
    try:
        return process.wait(timeout_seconds)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
