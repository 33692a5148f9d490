"""Training jobs whose command is a small script: what the engine does can be seen without a trainer."""

from typing import Any

from fettle_schema.manifests import dump_manifest

_STEPS = """
import json, os, pathlib, signal, sys, time
run = json.load(open(sys.argv[1]))
directory = pathlib.Path(os.environ["FETTLE_WORKSPACE"], run["directory"])
directory.mkdir(parents=True, exist_ok=True)
signal.signal(signal.SIGTERM, lambda *a: sys.exit(85))
done = directory / "done"
first = int(done.read_text()) if done.exists() else 0
for step in range(first + 1, {steps} + 1):
    time.sleep({seconds})
    done.write_text(str(step))
    with open(directory / "metrics.jsonl", "a") as file:
        event = {{"time": "2026-01-01T00:00:00Z", "attempt": run["job"]["attempt"], "stage": "training", "step": step}}
        print(json.dumps({{**event, "totalSteps": {steps}, "loss": 1 / step}}), file=file)
    print("step", step, "from", first, flush=True)
message = {message}
pathlib.Path(os.environ["FETTLE_TERMINATION_MESSAGE_PATH"]).write_text(json.dumps(message))
sys.exit(message["exitCode"])
"""


def scripted_job(
    name: str = "demo", steps: int = 3, seconds: float = 0.05, message: dict[str, Any] | None = None
) -> str:
    """A manifest of a job that takes `steps` steps, stops when asked, continues where it was, and ends as told."""
    script = _STEPS.format(steps=steps, seconds=seconds, message=message or {"exitCode": 0, "step": steps})
    return dump_manifest(
        {
            "apiVersion": "fettle.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": name},
            "spec": {
                "baseModel": {"path": "models/tiny"},
                "dataset": {"source": {"inline": {"examples": ['{"text": "hello"}']}}},
                "resources": {"gpusPerNode": 0},
                "runtime": {"command": ["python", "-c", script], "terminationGracePeriodSeconds": 5},
            },
        }
    )
