"""One node: containerd, kubelet, kube-proxy, CoreDNS and storage inside private namespaces (root)."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from pathlib import Path
from typing import Any

from tests.cluster import storage
from tests.cluster.api_client import ApiClient
from tests.cluster.containerd import Containerd
from tests.cluster.control_plane import ControlPlane
from tests.cluster.credentials import CONTEXT, NODE_NAME
from tests.cluster.namespaces import Namespaces

REPOSITORY = Path(__file__).resolve().parents[2]
DNS_READY_PORT = 8181
# slirp4netns answers names at this address of its own network.
OUTER_DNS = "10.0.2.3"


class Node:
    """The only node of a cluster."""

    def __init__(self, control_plane: ControlPlane, namespaces: Namespaces) -> None:
        self.home = control_plane.home
        self.containerd = Containerd(self.home, namespaces, control_plane.kubebox)
        self._control_plane = control_plane
        self._credentials = control_plane.credentials
        self._folder = namespaces.folder
        self._namespaces = namespaces
        self._processes = control_plane.processes
        self._slot = control_plane.slot

    def start_runtime(self) -> None:
        """Starts what needs no API server."""
        self._namespaces.make_cgroup()
        self._write("cni/10-bridge.conflist", self._pod_network())
        self.containerd.up()

    def join(self, gpus: int, egress: bool) -> None:
        """Joins the API server, and returns when pods, Services, names, claims and GPUs work."""
        with self._control_plane.api() as api:
            self._start_dns(api, egress)
            self.start_kubelet(egress)
            self._start_proxy()
            storage.create_storage_class(api)
            serve = [sys.executable, "-m", "tests.cluster.provisioner", self.home, gpus]
            self._processes.start("provisioner", "env", f"PYTHONPATH={REPOSITORY}", *serve)
            self._processes.wait_until("the node is ready", lambda: _is_ready(api))
            self._processes.wait_until("names are resolved", self._dns_is_ready)
            self._processes.wait_until("Services are reachable", self._proxy_is_ready)
            if gpus:
                self._processes.wait_until("the node has GPUs", lambda: storage.offer_gpus(api, gpus))

    def start_kubelet(self, egress: bool = False) -> None:
        """Starts the kubelet, which registers the node."""
        resolv_conf = self._folder / "resolv.conf"
        resolv_conf.write_text(f"nameserver {OUTER_DNS if egress else self._slot.node_ip}\n")
        config = self._write("kubelet.yaml", self._kubelet_configuration(resolv_conf))
        flags = [
            f"--config={config}",
            f"--kubeconfig={self._credentials.kubeconfig('kubelet')}",
            f"--hostname-override={NODE_NAME}",
            f"--root-dir={self._folder}/kubelet",
            f"--node-ip={self._slot.node_ip}",
        ]
        self._start("kubelet", *flags)

    def _start_proxy(self) -> None:
        # Zero leaves the machine-wide limits of connection tracking alone.
        untouched = {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": {"kubeconfig": str(self._credentials.kubeconfig("proxy"))},
            "hostnameOverride": NODE_NAME,
            "clusterCIDR": self._slot.pods,
            "conntrack": untouched,
        }
        self._start("kube-proxy", f"--config={self._write('proxy.yaml', configuration)}")

    def _start_dns(self, api: ApiClient, egress: bool) -> None:
        group = "rbac.authorization.k8s.io"
        binding = {
            "metadata": {"name": "fettle-test-dns"},
            "subjects": [{"kind": "User", "name": "fettle-test:dns", "apiGroup": group}],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
        }
        api.create(f"/apis/{group}/v1/clusterrolebindings", binding)
        corefile = self._folder / "Corefile"
        kubeconfig = self._credentials.kubeconfig("dns")
        lines = [
            ".:53 {",
            f"bind {self._slot.node_ip}",
            "errors",
            f"ready {self._slot.node_ip}:{DNS_READY_PORT}",
            "kubernetes cluster.local in-addr.arpa {",
            f"kubeconfig {kubeconfig} {CONTEXT}",
            "}",
            *([f"forward . {OUTER_DNS}"] if egress else []),
            "cache 5",
            "}",
        ]
        corefile.write_text("\n".join(lines) + "\n")
        self._start("coredns", "-conf", corefile)

    def _start(self, component: str, *flags: object) -> None:
        kubebox = self._control_plane.kubebox / "kubebox"
        self._processes.start(component, *self._namespaces.inside(kubebox, component, *flags))

    def _write(self, name: str, content: dict[str, Any]) -> Path:
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
        return path

    def _pod_network(self) -> dict[str, Any]:
        addresses = {
            "type": "host-local",
            "dataDir": f"{self._folder}/addresses",
            "ranges": [[{"subnet": self._slot.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            # A pod may call itself by its own Service.
            "hairpinMode": True,
            "ipam": addresses,
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": "fettle-test", "plugins": [bridge, ports]}

    def _kubelet_configuration(self, resolv_conf: Path) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._credentials.authority)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self.containerd.socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._slot.cgroup_name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "maxOpenFiles": 20000,
            "enforceNodeAllocatable": [],
            # Images shall stay, and the free space of the machine is not the node's affair.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1Gi",
                "imagefs.available": "1Gi",
            },
            "clusterDomain": "cluster.local",
            "clusterDNS": [self._slot.node_ip],
            "resolvConf": str(resolv_conf),
            "podLogsDir": f"{self._folder}/pod-logs",
            "nodeStatusUpdateFrequency": "4s",
            "syncFrequency": "10s",
        }

    def _dns_is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self._slot.node_ip, DNS_READY_PORT, timeout=1)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _proxy_is_ready(self) -> bool:
        try:
            socket.create_connection((self._slot.service_ip, 443), timeout=0.5).close()
        except OSError:
            return False
        return True


def _is_ready(api: ApiClient) -> bool:
    status = (api.get(f"/api/v1/nodes/{NODE_NAME}") or {}).get("status", {})
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in status.get("conditions", []))
