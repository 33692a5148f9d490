"""Kubeflow Trainer beside us: built from its Go modules, and run on the API server that we are measured on.

Two programs: Trainer makes a JobSet of a TrainJob, JobSet makes Jobs of that. Trainer's and JobSet's validating
webhooks are left out, which favours them; JobSet's defaulting one is needed. Both read their certificates from one
fixed folder, so each runs with a file system of its own there, which needs root.
"""

import asyncio
import base64
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import SECRETS, ApiError, Manifest, ResourceKind
from tests.bench.facade_process import ServerProcess, free_port
from tests.cluster import build
from tests.support.api_server import CRDS, NAMESPACES
from tests.support.polling import eventually

VERSION = "Kubeflow Trainer 2.0.0, JobSet 0.8.2"
TRAIN_JOBS = ResourceKind("trainer.kubeflow.org/v1alpha1", "TrainJob", "trainjobs")
_RUNTIMES = ResourceKind("trainer.kubeflow.org/v1alpha1", "ClusterTrainingRuntime", "clustertrainingruntimes", False)
_GROUP = "admissionregistration.k8s.io/v1"
_VALIDATING = ResourceKind(_GROUP, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False)
_MUTATING = ResourceKind(_GROUP, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False)
_TRAINER = "github.com/kubeflow/trainer/v2"
_JOBSET = "sigs.k8s.io/jobset"
_MODULES = Path(__file__).parent / "kubeflow"
_CERTIFICATES = Path("/tmp/k8s-webhook-server/serving-certs")
_OWN_FILES = 'mkdir -p "$0" && mount -t tmpfs none "$0" && mkdir "$0/serving-certs" && exec "$@"'
_SECRET = ("kubeflow-system", "kubeflow-trainer-webhook-cert")


def train_job(name: str, namespace: str) -> Manifest:
    """The smallest useful one."""
    trainer = {"image": "pytorch:bench", "command": ["python", "train.py"], "numNodes": 1}
    spec = {"runtimeRef": {"name": "torch-distributed"}, "trainer": trainer}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def programs() -> dict[str, Path]:
    """Both programs, built now unless they are there; about a minute each."""
    return {
        "trainer": _built("trainer", f"{_TRAINER}/cmd/trainer-controller-manager"),
        "jobset": _built("jobset", _JOBSET),
    }


def _built(folder: str, package: str) -> Path:
    source = _MODULES / folder
    digest = hashlib.sha256((source / "go.mod").read_bytes() + (source / "go.sum").read_bytes()).hexdigest()[:12]

    def compile_into(staging: Path) -> None:
        build.go("build", "-trimpath", "-ldflags", "-s -w", "-o", str(staging / folder), package, cwd=source)

    return build.once(build.cache_path() / "kubeflow" / f"{folder}-{digest}", compile_into) / folder


@asynccontextmanager
async def running(client: KubernetesClient, kubeconfig: Path, scratch: Path) -> AsyncIterator[list[ServerProcess]]:
    """Both programs at work, with what they need on the API server."""
    found = await asyncio.to_thread(programs)
    await _install(client)
    with ExitStack() as stack:
        jobset = stack.enter_context(_jobset(found["jobset"], kubeconfig, scratch))
        await _add_jobset_webhook(client, jobset.webhook_port, jobset.certificate)
        trainer = stack.enter_context(_trainer(found["trainer"], kubeconfig, scratch))
        await _hand_over_certificates(client, trainer.pid)
        for process in (jobset, trainer):
            await eventually(process.is_ready, f"{process.name} is ready", within_seconds=180)
        yield [jobset.process, trainer.process]


class _Program:
    """One of the two, while it runs."""

    def __init__(self, name: str, child: "subprocess.Popen[bytes]", health_port: int, log: Path) -> None:
        self.name, self.pid = name, child.pid
        self.process = ServerProcess(child, health_port, log, 0.0)
        self.webhook_port = 0
        self.certificate = b""

    async def is_ready(self) -> bool:
        """Whether it serves."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.process.url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


@contextmanager
def _program(name: str, argv: list[str], kubeconfig: Path, scratch: Path, health_port: int) -> Iterator[_Program]:
    own = ["unshare", "-m", "sh", "-c", _OWN_FILES, str(_CERTIFICATES.parent)]
    log = scratch / f"{name}.log"
    with log.open("wb") as output:
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        child = subprocess.Popen([*own, *argv], env=environment, stdout=output, stderr=output)
    try:
        yield _Program(name, child, health_port, log)
    finally:
        child.kill()
        child.wait()


@contextmanager
def _trainer(program: Path, kubeconfig: Path, scratch: Path) -> Iterator[_Program]:
    health, webhook = free_port(), free_port()
    flags = [f"--health-probe-bind-address=127.0.0.1:{health}", f"--webhook-server-port={webhook}"]
    with _program("trainer", [str(program), *flags], kubeconfig, scratch, health) as started:
        yield started


@contextmanager
def _jobset(program: Path, kubeconfig: Path, scratch: Path) -> Iterator[_Program]:
    """With a certificate of ours for the loopback interface, where its own would be for a Service's name."""
    health, webhook = free_port(), free_port()
    configuration = {
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "webhook": {"port": webhook},
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "metrics": {"bindAddress": "0"},
    }
    (scratch / "jobset.yaml").write_text(yaml.safe_dump(configuration))
    _make_certificate(scratch)
    copied = f'cp {scratch}/tls.crt {scratch}/tls.key {_CERTIFICATES} && exec "$0" "$@"'
    argv = ["sh", "-c", copied, str(program), f"--config={scratch / 'jobset.yaml'}"]
    with _program("jobset", argv, kubeconfig, scratch, health) as started:
        started.webhook_port, started.certificate = webhook, (scratch / "tls.crt").read_bytes()
        yield started


def _make_certificate(folder: Path) -> None:
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    about = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *about, *files]
    subprocess.run(request, check=True, capture_output=True)


async def _install(client: KubernetesClient) -> None:
    """CRDs, the runtime, and what the programs fill in themselves."""
    trainer, jobset = _module_folder("trainer", _TRAINER), _module_folder("jobset", _JOBSET)
    for path in sorted([*trainer.glob("manifests/base/crds/*_*.yaml"), *jobset.glob("config/components/crd/bases/*")]):
        await client.apply(CRDS, yaml.safe_load(path.read_text()), "fettle-bench")
    namespace, secret = _SECRET
    await client.create(NAMESPACES, {"metadata": {"name": namespace}})
    await client.create(SECRETS, {"metadata": {"name": secret, "namespace": namespace}})
    await client.create(_VALIDATING, {"metadata": {"name": "validator.trainer.kubeflow.org"}, "webhooks": []})
    runtime = yaml.safe_load((trainer / "manifests/base/runtimes/torch_distributed.yaml").read_text())

    async def is_taken() -> bool:
        try:
            await client.apply(_RUNTIMES, runtime, "fettle-bench")
        except ApiError:
            return False
        return True

    await eventually(is_taken, "the runtime is there")


def _module_folder(folder: str, module: str) -> Path:
    """Where Go keeps the sources."""
    program = build.find_go() or build.install_go()
    argv = [str(program), "list", "-m", "-json", module]
    found = subprocess.run(argv, cwd=_MODULES / folder, check=True, capture_output=True, text=True)
    return Path(json.loads(found.stdout)["Dir"])


async def _hand_over_certificates(client: KubernetesClient, pid: int) -> None:
    """Its Secret, once it has filled it, as a pod would have it mounted."""
    namespace, name = _SECRET
    contents: dict[str, str] = {}

    async def is_filled() -> bool:
        secret: dict[str, Any] = await client.get(SECRETS, name, namespace)
        contents.update(secret.get("data") or {})
        return "tls.crt" in contents

    await eventually(is_filled, "Trainer has made its certificates", within_seconds=120)
    folder = Path(f"/proc/{pid}/root{_CERTIFICATES}")
    for file, content in contents.items():
        (folder / file).write_bytes(base64.b64decode(content))


async def _add_jobset_webhook(client: KubernetesClient, port: int, certificate: bytes) -> None:
    webhook = {
        "name": "mjobset.kb.io",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/mutate-jobset-x-k8s-io-v1alpha2-jobset",
            "caBundle": base64.b64encode(certificate).decode(),
        },
        "rules": [
            {
                "apiGroups": ["jobset.x-k8s.io"],
                "apiVersions": ["v1alpha2"],
                "operations": ["CREATE"],
                "resources": ["jobsets"],
            }
        ],
    }
    await client.create(_MUTATING, {"metadata": {"name": "jobset-defaults"}, "webhooks": [webhook]})
