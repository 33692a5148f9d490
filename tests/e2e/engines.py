"""A Deployment of the built-in engine in the test cluster, and a client that asks all the time."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx
import yaml

from tests.e2e.installation import CLAIM, MODEL_PATH, Installation

NAME = "engine"
PORT = 8000
BASE = "base"
LABELS = {"app": NAME, "fettle.dev/engine": "true", "app.kubernetes.io/managed-by": "fettle"}
QUESTION = [{"role": "user", "content": "alpha beta"}]


def start_engines(installation: Installation, image: str, replicas: int) -> None:
    """`kubectl apply` of what a user of a CPU cluster would write."""
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "fettle_trainer.serve"],
        "args": [f"--model=/workspace/{MODEL_PATH}", f"--served-model-name={BASE}", "--host=0.0.0.0"],
        "env": [{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "HOME", "value": "/tmp"}],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "workspace", "mountPath": "/workspace", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": CLAIM}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": NAME}},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}]},
    }
    installation.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([deployment, service]))
    installation.wait("the engines are ready", lambda: len(ready_pods(installation)) == replicas, seconds=300)


def ready_pods(installation: Installation) -> dict[str, str]:
    """Name → address of the engines that are ready."""
    listed = json.loads(installation.kubectl("get", "pods", "--selector", f"app={NAME}", "-o", "json"))
    return {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for pod in listed["items"]
        if not pod["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    }


def ready_since(installation: Installation, pod: str) -> str:
    """When a pod became ready."""
    found = installation.get("pod", pod)
    assert found
    conditions = found["status"]["conditions"]
    return next(str(c["lastTransitionTime"]) for c in conditions if c["type"] == "Ready")


def listed(address: str) -> dict[str, str]:
    """Adapters that an engine lists."""
    models = httpx.get(f"http://{address}:{PORT}/v1/models", trust_env=False, timeout=30).json()["data"]
    return {model["id"]: model["root"] for model in models if model["parent"]}


def answer(address: str, model: str) -> str:
    """What it says; the same question gives the same answer."""
    body: dict[str, Any] = {"model": model, "messages": QUESTION, "temperature": 0, "max_tokens": 12}
    response = httpx.post(f"http://{address}:{PORT}/v1/chat/completions", json=body, trust_env=False, timeout=60)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


@dataclass
class ConstantClient:
    """Asks one address after another, without a pause, until it is told to stop."""

    addresses: list[str]
    model: str
    answers: list[tuple[str, str]] = field(default_factory=list)
    """Address and answer."""
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "ConstantClient":
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(60)

    def _ask(self) -> None:
        while not self._stop.is_set():
            for address in self.addresses:
                try:
                    self.answers.append((address, answer(address, self.model)))
                except (AssertionError, httpx.HTTPError) as error:
                    self.failures.append(f"{address}: {type(error).__name__}: {error}")
