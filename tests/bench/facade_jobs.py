"""The jobs of `make bench-facade`: as a dialect submits them and an operator reports on them, nine of ten ended."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from fettle_client.protocol import Manifest
from fettle_schema import names
from fettle_schema.base import API_VERSION
from fettle_schema.layout import attempt_directory

_MODELS = ("meta-llama/Llama-3.2-3B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "mistralai/Mistral-7B-Instruct-v0.3")
STEPS = 1200


def job_name(number: int) -> str:
    """As the `ainode` dialect names its jobs."""
    job_id = hashlib.sha256(str(number).encode()).hexdigest()[:12]
    return f"j{job_id}" if job_id[0].isdigit() else job_id


def training_job(number: int, namespace: str) -> Manifest:
    """One job as the `ainode` dialect submits it."""
    request = _request(number)
    annotations = {
        names.ANNOTATION_DIALECT: "ainode",
        names.ANNOTATION_ORIGINAL_ID: job_name(number).removeprefix("j"),
        names.ANNOTATION_CREATED_AT: datetime.now(UTC).isoformat(timespec="microseconds"),
        names.ANNOTATION_REQUEST: json.dumps(request),
        names.ANNOTATION_DESCRIPTION: request["description"],
        names.ANNOTATION_RUN_NAME: request["run_name"],
    }
    metadata = {
        "name": job_name(number),
        "namespace": namespace,
        "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        "annotations": annotations,
    }
    return {"apiVersion": API_VERSION, "kind": "TrainingJob", "metadata": metadata, "spec": _spec(number, request)}


def _request(number: int) -> dict[str, Any]:
    return {
        "base_model": _MODELS[number % len(_MODELS)],
        "dataset_path": f"support-tickets-{number % 50:03}",
        "method": ("lora", "qlora")[number % 2],
        "num_epochs": 1 + number % 4,
        "batch_size": 4,
        "learning_rate": round(1e-4 + number % 97 * 1e-6, 6),
        "lora_rank": (8, 16, 32)[number % 3],
        "lora_alpha": 32,
        "max_seq_length": 2048,
        "gradient_accumulation_steps": 4,
        "warmup_steps": 20,
        "eval_split": 0.1,
        "use_gradient_checkpointing": True,
        "run_name": f"tickets-sweep-{number:05}",
        "description": f"Run {number} of the sweep over learning rates for the support assistant",
    }


def _spec(number: int, request: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": "sft",
        "baseModel": {"id": request["base_model"]},
        "dataset": {
            "source": {"workspace": {"path": f"datasets/{request['dataset_path']}"}},
            "evaluation": {"fraction": request["eval_split"]},
        },
        "adapter": {"type": request["method"], "rank": request["lora_rank"], "alpha": request["lora_alpha"]},
        "hyperparameters": {
            "epochs": request["num_epochs"],
            "batchSize": request["batch_size"],
            "learningRate": request["learning_rate"],
            "maxLength": request["max_seq_length"],
            "gradientAccumulationSteps": request["gradient_accumulation_steps"],
            "warmupSteps": request["warmup_steps"],
            "gradientCheckpointing": True,
            "seed": number,
        },
        "output": {"adapterName": f"tickets-{number:05}"},
        "resources": {"gpusPerNode": 1},
    }


def is_ended(number: int) -> bool:
    """Nine of ten have."""
    return number % 10 != 0


def status_of(number: int, uid: str) -> dict[str, Any]:
    """What operator and receiver would have written; of those that have not ended, the first one runs."""
    started = datetime.now(UTC) - timedelta(hours=2, minutes=number % 600)
    if is_ended(number):
        return _ended_status(number, uid, started)
    if number:
        return {"phase": "Queued", "observedGeneration": 1, "conditions": _conditions(started, ("Accepted", "Valid"))}
    conditions = _conditions(started, ("Accepted", "Valid"), ("Admitted", "Admitted"), ("Running", "Training"))
    return {
        "phase": "Running",
        "observedGeneration": 1,
        "conditions": conditions,
        "startTime": _text(started),
        "attempts": _attempts(uid),
        "resolved": _resolved(number),
    }


def _ended_status(number: int, uid: str, started: datetime) -> dict[str, Any]:
    ended = started + timedelta(minutes=47, seconds=number % 60)
    name = job_name(number)
    last = ("Failed", "LossNotFinite") if number % 20 == 9 else ("Complete", "Published")
    conditions = _conditions(started, ("Accepted", "Valid"), ("Admitted", "Admitted"), ("PodsReady", "Ready"))
    status = {
        "phase": "Failed" if last[0] == "Failed" else "Succeeded",
        "observedGeneration": 1,
        "conditions": [*conditions, *_conditions(ended, ("CheckpointAvailable", "Saved"), last)],
        "reason": last[1],
        "startTime": _text(started),
        "completionTime": _text(ended),
        "activeSeconds": 2820.0 + number % 60,
        "gpuSeconds": {"total": 2820.0 + number % 60, "wasted": 0.0},
        "attempts": _attempts(uid),
        "progress": progress(STEPS, ended),
        "checkpoints": [_checkpoint(name, uid, step, ended) for step in (STEPS - 50, STEPS)],
        "resolved": _resolved(number),
    }
    if last[0] == "Failed":
        failure = {"code": last[1], "message": f"the loss was not finite at step {number}", "hint": "Lower the rate."}
        return {**status, "failure": {**failure, "exitCode": 71, "attempt": 1}}
    path = f"adapters/tickets-{number:05}/v1"
    output = {"kind": "adapter", "path": path, "digest": hashlib.sha256(path.encode()).hexdigest()}
    return {**status, "output": output, "adapter": f"tickets-{number:05}"}


def progress(step: int, time: datetime) -> dict[str, Any]:
    """`status.progress` as the receiver writes it."""
    return {
        "stage": "training",
        "percent": round(100 * step / STEPS, 2),
        "step": step,
        "totalSteps": STEPS,
        "epoch": 1.0,
        "loss": round(2.0 / (1 + step), 4),
        "learningRate": 0.0001,
        "gradNorm": 0.51,
        "tokensPerSecond": 3811.4,
        "etaSeconds": 0.0,
        "eta": "0s",
        "peakMemoryBytes": 17_179_869_184,
        "attempt": 1,
        "summary": f"{step}/{STEPS}",
        "lastReportTime": _text(time),
    }


def progress_line(step: int, time: datetime) -> str:
    """A line of `metrics.jsonl` as the trainer writes it."""
    event = {"time": _text(time), "attempt": 1, "kind": "step", "stage": "training", "step": step, "loss": 0.5}
    return json.dumps({**event, "totalSteps": STEPS, "learningRate": 0.0001, "gradNorm": 0.51}) + "\n"


def _conditions(time: datetime, *known: tuple[str, str]) -> list[dict[str, Any]]:
    rest = {"status": "True", "lastTransitionTime": _text(time), "observedGeneration": 1}
    message = "what the operator says about it in one sentence of usual length"
    return [{"type": kind, "reason": reason, "message": message, **rest} for kind, reason in known]


def _attempts(uid: str) -> dict[str, Any]:
    return {"current": 1, "restarts": 0, "failures": 0, "preemptions": 0, "countedPods": [uid]}


def _checkpoint(name: str, uid: str, step: int, time: datetime) -> dict[str, Any]:
    path = f"{attempt_directory(name, uid, 1)}/checkpoints/checkpoint-{step}"
    return {"name": f"checkpoint-{step}", "step": step, "attempt": 1, "path": path, "createdAt": _text(time)}


def _resolved(number: int) -> dict[str, Any]:
    chosen = {
        "epochs": 1 + number % 4,
        "batchSize": 4,
        "learningRate": 0.0002,
        "warmupSteps": 20,
        "scheduler": "cosine",
    }
    digest = hashlib.sha256(f"config {number}".encode()).hexdigest()
    return {"gpus": 1, "configDigest": digest, "hyperparameters": {**chosen, "seed": number, "maxLength": 2048}}


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
