"""Kueue, the real controller, as a process beside a control plane: its CustomResourceDefinitions, its webhooks and
certificates that the API server trusts. It only looks after batch Jobs.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
from typing import Any

import yaml

from tests.cluster import build
from tests.cluster.cluster import Cluster
from tests.cluster.credentials import ADMIN, Credentials
from tests.cluster.processes import Processes

NAMESPACE = "kueue-system"
WEBHOOKS_OF = ("job", "workload", "clusterqueue", "localqueue", "resourceflavor")
"""Kinds whose webhooks are installed: those of other frameworks would wait for CustomResourceDefinitions of theirs."""
_OWN_ETC = 'mount -t tmpfs fettle /etc && mkdir -p /etc/kueue/metrics && cp -r "$0" /etc/kueue/metrics/certs'
_WITH_CERTIFICATES = ("unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c")
"""Kueue wants certificates for its metrics below /etc, served or not: it gets an /etc of its own, with nothing else."""


class Kueue:
    """Ends with its cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._credentials = Credentials(cluster.home)
        self._processes = Processes(cluster.home)
        self._folder = cluster.home / "kueue"

    def up(self) -> None:
        """Starts it and returns when its webhooks answer."""
        built = build.build_kueue()
        port = _free_port()
        self._write_certificates()
        for path in sorted((built / "crds").glob("*.yaml")):
            self._cluster.kubectl("create", "-f", str(path))
        self._cluster.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all")
        self._cluster.kubectl("create", "namespace", NAMESPACE)
        config = self._folder / "config.yaml"
        config.write_text(json.dumps(self._configuration(port)))
        kubeconfig = f"KUBECONFIG={self._credentials.kubeconfig(ADMIN)}"
        kueue = [built / "kueue", f"--config={config}", "--feature-gates=VisibilityOnDemand=false"]
        self._processes.start(
            "kueue", *_WITH_CERTIFICATES, f'{_OWN_ETC} && exec "$@"', self._folder, "env", kubeconfig, *kueue
        )
        self._processes.wait_until("Kueue's webhooks listen", lambda: _listens(port))
        webhooks = self._webhooks((built / "webhooks.yaml").read_text(), port)
        self._cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(webhooks))

    def _write_certificates(self) -> None:
        """The API server's own: they are for this machine's addresses, and whoever made them is trusted."""
        self._folder.mkdir()
        for suffix in ("crt", "key"):
            shutil.copy(self._credentials.pki / f"server.{suffix}", self._folder / f"tls.{suffix}")

    def _configuration(self, port: int) -> dict[str, Any]:
        return {
            "apiVersion": "config.kueue.x-k8s.io/v1beta2",
            "kind": "Configuration",
            "namespace": NAMESPACE,
            "health": {"healthProbeBindAddress": "0"},
            "metrics": {"bindAddress": "0"},
            "webhook": {"host": "127.0.0.1", "port": port, "certDir": str(self._folder)},
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
            "integrations": {"frameworks": ["batch/job"]},
        }

    def _webhooks(self, manifests: str, port: int) -> list[dict[str, Any]]:
        """Kueue's own configurations, of the kinds that are here, and with an address instead of a Service."""
        authority = base64.b64encode(self._credentials.authority.read_bytes()).decode()
        configurations = [manifest for manifest in yaml.safe_load_all(manifests) if manifest]
        for configuration in configurations:
            chosen = [hook for hook in configuration["webhooks"] if _kind(hook) in WEBHOOKS_OF]
            for hook in chosen:
                path = hook["clientConfig"]["service"]["path"]
                hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{path}", "caBundle": authority}
            configuration["webhooks"] = chosen
        return configurations


def _kind(webhook: dict[str, Any]) -> str:
    """`/mutate-batch-v1-job` is about `job`."""
    return str(webhook["clientConfig"]["service"]["path"]).rpartition("-")[2]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
