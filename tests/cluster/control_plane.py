"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as plain processes: no root needed."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.api_client import ApiClient
from tests.cluster.credentials import ADMIN, Credentials
from tests.cluster.processes import Processes
from tests.cluster.slots import Slot

GARBAGE = "GOGC=400"
"""Heaps are tiny here, so that Go would look for garbage all the time: a quarter of the API server's work."""


class ControlPlane:
    """The servers of one cluster, without a node."""

    def __init__(self, home: Path, slot: Slot, kubebox: Path) -> None:
        self.home = home
        self.slot = slot
        self.kubebox = kubebox
        self.processes = Processes(home)
        self.credentials = Credentials(home)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.credentials.kubeconfig(ADMIN)

    def api(self) -> ApiClient:
        """A new connection as administrator."""
        return ApiClient(self.kubeconfig, self.credentials.authority)

    def start(self, with_node: bool, slot_lock: int) -> None:
        """Starts the servers.

        With a node the API server listens on the link to it, else on the loopback interface; never beyond.
        """
        address = self.slot.host_ip if with_node else "127.0.0.1"
        addresses = ["127.0.0.1", self.slot.host_ip, self.slot.service_ip]
        self.credentials.make(f"https://{address}:{self.slot.ports[0]}", addresses)
        self._start_etcd(slot_lock)
        self._start("kube-apiserver", self._api_server_flags(address))
        self._start("kube-controller-manager", self._controller_flags())
        scheduler = self.credentials.kubeconfig("scheduler")
        self._start("kube-scheduler", f"--kubeconfig={scheduler} --leader-elect=false --secure-port=0")

    def wait_until_ready(self) -> None:
        """Returns when a Pod could be created."""
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        with self.api() as api:
            self.processes.wait_until("the API server is ready", lambda: api.get("/readyz"))
            self.processes.wait_until("controllers work", lambda: api.get(account))

    def _start(self, name: str, flags: str, *keep_open: int) -> None:
        program = ("env", GARBAGE, self.kubebox / "kubebox")
        self.processes.start(name, *program, name, *flags.split(), keep_open=keep_open)

    def _start_etcd(self, slot_lock: int) -> None:
        _, client_port, peer_port = self.slot.ports
        flags = f"""
            --data-dir={self.home}/etcd --unsafe-no-fsync --log-level=warn
            --listen-client-urls=http://127.0.0.1:{client_port}
            --advertise-client-urls=http://127.0.0.1:{client_port}
            --listen-peer-urls=http://127.0.0.1:{peer_port}"""
        self._start("etcd", flags, slot_lock)

    def _api_server_flags(self, address: str) -> str:
        pki = self.credentials.pki
        # The advertised address may not be a loopback one, even where nobody uses it.
        return f"""
            --etcd-servers=http://127.0.0.1:{self.slot.ports[1]}
            --bind-address={address} --secure-port={self.slot.ports[0]}
            --advertise-address={self.slot.host_ip} --service-cluster-ip-range={self.slot.services}
            --token-auth-file={self.credentials.tokens} --client-ca-file={self.credentials.authority}
            --tls-cert-file={pki}/server.crt --tls-private-key-file={pki}/server.key
            --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true
            --kubelet-client-certificate={pki}/kubelet-client.crt
            --kubelet-client-key={pki}/kubelet-client.key
            --kubelet-preferred-address-types=InternalIP
            --service-account-issuer=https://kubernetes.default.svc
            --service-account-key-file={pki}/service-accounts.pub
            --service-account-signing-key-file={pki}/service-accounts.key"""

    def _controller_flags(self) -> str:
        pki = self.credentials.pki
        return f"""
            --kubeconfig={self.credentials.kubeconfig("controllers")} --root-ca-file={pki}/ca.crt
            --service-account-private-key-file={pki}/service-accounts.key --use-service-account-credentials
            --cluster-signing-cert-file={pki}/ca.crt --cluster-signing-key-file={pki}/ca.key
            --kube-api-qps=200 --kube-api-burst=400 --leader-elect=false --secure-port=0"""
