"""A Fettle that helm has installed into a test cluster, and what tests do with it: apply, look, wait, call."""

import base64
import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster import Cluster, ClusterError, build
from tests.cluster.processes import wait_until

CHART = Path(__file__).resolve().parents[2] / "charts" / "fettle"
NAMESPACE = "tuning"
RELEASE = "fettle"
CLAIM = "fettle-workspace"
Manifest = dict[str, Any]

MODEL_PATH = "models/tiny"
DATASET_PATH = "datasets/words"


class Installation:
    """One release in one namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def install(self, values: Manifest) -> None:
        """`helm install --wait`, as a user does it."""
        self._helm(
            "install", RELEASE, str(CHART), "--wait", "--timeout=180s", "--values=-", stdin=yaml.safe_dump(values)
        )

    def upgrade(self, *values: str) -> None:
        """`helm upgrade` to the same chart, with some values changed."""
        options = [option for value in values for option in ("--set", value)]
        self._helm("upgrade", RELEASE, str(CHART), "--reuse-values", "--wait", "--timeout=300s", *options)

    def test(self) -> str:
        """`helm test`, as a user does it; what it said."""
        return self._helm("test", RELEASE, "--logs", "--timeout=480s")

    def uninstall(self) -> str:
        """`helm uninstall`; what it said."""
        return self._helm("uninstall", RELEASE, "--wait", "--timeout=180s")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of kubectl in our namespace; raises ClusterError."""
        return self.cluster.kubectl("--namespace", NAMESPACE, *arguments, stdin=stdin)

    def get(self, kind: str, name: str) -> Manifest | None:
        """A resource; None if there is none."""
        try:
            return dict(json.loads(self.kubectl("get", kind, name, "-o", "json")))
        except ClusterError as error:
            if "NotFound" in str(error):
                return None
            raise

    def of_job(self, kind: str, job: str) -> list[Manifest]:
        """All of a kind that belong to a training job."""
        listed = json.loads(self.kubectl("get", kind, "--selector", f"fettle.dev/training-job={job}", "-o", "json"))
        return list(listed["items"])

    def apply(self, job: Manifest) -> str:
        """`kubectl apply`; the job's name."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(job))
        return str(job["metadata"]["name"])

    def patch(self, job: str, **spec: object) -> None:
        """Change fields of a job's spec."""
        self.kubectl("patch", "trainingjob", job, "--type=merge", "--patch", json.dumps({"spec": spec}))

    def status(self, job: str) -> Manifest:
        """The status of a job; empty until there is one."""
        return dict((self.get("trainingjob", job) or {}).get("status") or {})

    def phase(self, job: str) -> str:
        return str(self.status(job).get("phase"))

    def step(self, job: str) -> int:
        """The last step that the job's status shows."""
        return int((self.status(job).get("progress") or {}).get("step") or 0)

    def wait(self, what: str, check: Callable[[], object], seconds: float = 120) -> None:
        """Poll until it holds; a failure tells everything that is known."""
        try:
            wait_until(what, check, seconds)
        except ClusterError as error:
            raise AssertionError(f"{error}\n{self.story()}") from error

    def wait_for_phase(self, job: str, phase: str, seconds: float = 180) -> Manifest:
        """The status when the job is in that phase; fails at once when it has ended otherwise."""

        def check() -> bool:
            now = self.phase(job)
            assert now == phase or now not in ("Succeeded", "Failed", "Cancelled"), self.story()
            return now == phase

        self.wait(f"{job} is {phase}", check, seconds)
        return self.status(job)

    def url(self, port: int = 8080) -> str:
        """The facade's Service, which this machine reaches by its address."""
        return f"http://{self.kubectl('get', 'service', f'{RELEASE}-api', '-o', 'jsonpath={.spec.clusterIP}')}:{port}"

    def http(self, port: int = 8080, with_key: bool = True) -> httpx.Client:
        """A client of the facade that sends the installation's key."""
        headers = {"X-API-Key": self.api_key()} if with_key else {}
        return httpx.Client(base_url=self.url(port), headers=headers, timeout=30, trust_env=False)

    def leader(self) -> str:
        """The pod that holds the operator's lease."""
        holder = self.kubectl("get", "lease", f"{RELEASE}-operator", "-o", "jsonpath={.spec.holderIdentity}")
        return holder.partition("_")[0]

    @property
    def workspace(self) -> Path:
        """The namespace's claim, as this machine sees it."""
        return self.cluster.volume_path(NAMESPACE, CLAIM)

    def story(self) -> str:
        """What went on, for a failure's message."""
        parts = []
        for arguments in (
            ("get", "trainingjobs,adapters,jobs,pods", "-o", "wide"),
            ("get", "trainingjobs", "-o", "jsonpath={range .items[*]}{.metadata.name}{' '}{.status}{'\\n'}{end}"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "--selector=app.kubernetes.io/component=operator", "--tail=40", "--prefix"),
            ("logs", "--selector=app.kubernetes.io/component=api", "--tail=20"),
        ):
            with suppress(ClusterError):
                parts.append(self.kubectl(*arguments))
        return "\n".join(parts)

    def api_key(self) -> str:
        """The key that the release has made."""
        secret = self.get("secret", f"{RELEASE}-api-key")
        assert secret
        return base64.b64decode(secret["data"]["api-key"]).decode()

    def _helm(self, *arguments: str, stdin: str = "") -> str:
        options = (f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={NAMESPACE}")
        argv = [str(build.helm_path()), *arguments, *options]
        finished = subprocess.run(argv, input=stdin, capture_output=True, text=True)
        assert finished.returncode == 0, f"{finished.stdout}{finished.stderr}\n{self.story()}"
        return finished.stdout + finished.stderr


def training_job(name: str, max_steps: int = 40, **spec: object) -> Manifest:
    """A job on the tiny model; two of the same steps give the same adapter."""
    return {
        "apiVersion": "fettle.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {
            "method": "sft",
            "baseModel": {"path": MODEL_PATH},
            "dataset": {"source": {"workspace": {"path": DATASET_PATH}}},
            "adapter": {"type": "lora", "rank": 4, "alpha": 8},
            "hyperparameters": {"maxSteps": max_steps, "batchSize": 4, "learningRate": 0.005},
            "checkpoint": {"everySteps": 20},
            "resources": {"gpusPerNode": 0},
            "runtime": {"terminationGracePeriodSeconds": 60},
            **spec,
        },
    }
