"""Answers of a base model and of an adapter on it, from a process of its own: this one never imports torch."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fettle_client.protocol import Manifest
from fettle_local.home import Home
from fettle_local.runner.pod_directory import LOCAL_THREADS
from fettle_schema.errors import FettleError
from fettle_schema.layout import HUGGING_FACE_HOME, MODELS


class AnswerError(FettleError):
    """No answer can be had."""

    code = "AnswerError"


@dataclass(frozen=True)
class Answer:
    """One prompt, answered by the base model and by the adapter."""

    prompt: str
    base: str
    adapter: str


def answers(
    home: Home, adapter: Manifest, prompts: list[str], max_new_tokens: int = 96, system: str | None = None
) -> list[Answer]:
    """Answers to all prompts, in their order, each after the system message; raises AnswerError."""
    path = (adapter.get("status") or {}).get("path")
    if not path or not (home.workspace / path).is_dir():
        raise AnswerError(f"adapter {adapter['metadata']['name']!r} has no files in the workspace yet")
    request = {
        "model": str(base_model_directory(home.workspace, adapter["spec"]["baseModel"]["id"])),
        "adapter": str(home.workspace / path),
        "prompts": prompts,
        "maxNewTokens": max_new_tokens,
        "system": system,
    }
    environment = {**LOCAL_THREADS, "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))), **os.environ}
    command = [sys.executable, "-m", "fettle_trainer.ask"]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        complaint = done.stderr.strip().splitlines()
        raise AnswerError(complaint[-1] if complaint else f"the model's process ended with {done.returncode}")
    found = json.loads(done.stdout)
    return [Answer(*texts) for texts in zip(prompts, found["base"], found["adapter"], strict=True)]


def base_model_directory(workspace: Path, model_id: str) -> Path:
    """Directory of a base model in the workspace, below `models/` or in the cache of the hub; raises AnswerError."""
    for candidate in (workspace / MODELS / model_id, workspace / model_id):
        if candidate.is_dir():
            return candidate
    cached = workspace / HUGGING_FACE_HOME / "hub" / f"models--{model_id.replace('/', '--')}" / "snapshots"
    snapshots = sorted(cached.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if not snapshots:
        raise AnswerError(f"base model {model_id!r} is not in the workspace {workspace}")
    return snapshots[-1].parent
