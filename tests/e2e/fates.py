"""Training jobs that are bound to go one way, in pods that cost next to nothing: shell instead of a trainer."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.installation import training_job

LABEL = "fettle-tests/fate"
UNTIL_ASKED = "trap 'exit 85' TERM; sleep 600 & wait"
"""Runs until it is stopped; then says that a checkpoint was saved."""
LINGERS = "trap 'sleep 1; exit 85' TERM; sleep 600 & wait"
"""The same, but for a moment it is seen to be stopped."""

_SUPERVISED = """
import json, os, pathlib, sys
run = json.load(open(sys.argv[1]))
run["command"] = ["sh", "-c", {child!r}]
pathlib.Path("/tmp/run.json").write_text(json.dumps(run))
os.environ["SERIES"] = os.path.join(os.environ["FETTLE_WORKSPACE"], run["directory"], "metrics.jsonl")
os.execvp("python", ["python", "-m", "fettle_trainer", "/tmp/run.json"])
"""


@dataclass(frozen=True)
class Fate:
    """How a job fails, and what it must say."""

    name: str
    code: str
    says: str
    """Part of the message."""
    advice: str
    """Part of the hint."""
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def manifest(self) -> dict[str, Any]:
        return cheap_job(self.name, **self.spec)


def cheap_job(name: str, script: str = "exit 0", **spec: Any) -> dict[str, Any]:
    """A job whose pod runs a line of shell."""
    runtime = {"command": ["sh", "-c", script], "terminationGracePeriodSeconds": 5, **spec.pop("runtime", {})}
    limits = {"maxRetries": 0, **spec.pop("limits", {})}
    resources = {"gpusPerNode": 0, "cpu": "100m", "memory": "64Mi", **spec.pop("resources", {})}
    manifest = training_job(name, runtime=runtime, limits=limits, resources=resources, **spec)
    manifest["metadata"]["labels"] = {LABEL: "true"}
    return manifest


def told(exit_code: int, **result: Any) -> dict[str, Any]:
    """A runtime that leaves this RunResult as its last words and exits with its code."""
    message = json.dumps({"exitCode": exit_code, **result})
    script = f'printf %s "$LAST_WORDS" > "$FETTLE_TERMINATION_MESSAGE_PATH"; exit {exit_code}'
    return {"command": ["sh", "-c", script], "env": [{"name": "LAST_WORDS", "value": message}]}


def exits(code: int) -> dict[str, Any]:
    """A runtime that says nothing but its exit code."""
    return {"command": ["sh", "-c", f"exit {code}"]}


def supervised(child: str) -> dict[str, Any]:
    """A runtime in which the trainer's own supervisor watches a line of shell; it reads steps from `$SERIES`."""
    return {"command": ["python", "-c", _SUPERVISED.format(child=child)]}


def once(name: str, first: str, again: str = "exit 0") -> str:
    """A script that does one thing in the first pod of its job and another in every later one."""
    mark = f'"$FETTLE_WORKSPACE/{name}.mark"'
    return f"if [ -e {mark} ]; then {again}; fi; touch {mark}; {first}"
