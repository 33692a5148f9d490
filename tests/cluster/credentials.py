"""The certificates, tokens and kubeconfigs of one cluster, made once for each home.

A file of static tokens stands in for most certificates: only the servers and the kubelet's client need one.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import run

CONTEXT = "fettle-test"
NODE_NAME = "node1"
# Strict verifiers (Python 3.13) want exactly these extensions; OpenSSL's own defaults lack some.
OPENSSL = """[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


@dataclass(frozen=True)
class User:
    """Who a token stands for."""

    name: str
    group: str = ""


ADMIN = "admin"
USERS = {
    ADMIN: User("admin", "system:masters"),
    "controllers": User("system:kube-controller-manager"),
    "scheduler": User("system:kube-scheduler"),
    "kubelet": User(f"system:node:{NODE_NAME}", "system:nodes"),
    "proxy": User("system:kube-proxy"),
    "dns": User("fettle-test:dns"),
}


class Credentials:
    """Where the files lie, and how they are made."""

    def __init__(self, home: Path) -> None:
        self.pki = home / "pki"
        self._home = home

    @property
    def authority(self) -> Path:
        """The certificate that everybody trusts."""
        return self.pki / "ca.crt"

    @property
    def tokens(self) -> Path:
        """The API server's file of static tokens."""
        return self.pki / "tokens.csv"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one of USERS."""
        return self._home / f"{user}.kubeconfig"

    def make(self, server: str, addresses: list[str]) -> None:
        """Writes all of them; `server` is the URL of the API server, `addresses` where it listens."""
        self.pki.mkdir(parents=True, exist_ok=True)
        self.pki.chmod(0o700)
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        alternatives = [f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses]
        (self.pki / "openssl.cnf").write_text(OPENSSL.format(names=",".join(alternatives)))
        self._certificate("ca", "/CN=fettle-test")
        self._certificate("server", "/CN=kube-apiserver")
        self._certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver")
        curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        key = self.pki / "service-accounts.key"
        run("openssl", "genpkey", *curve, "-out", key)
        run("openssl", "pkey", "-in", key, "-pubout", "-out", key.with_suffix(".pub"))
        lines = []
        for file, user in USERS.items():
            token = secrets.token_hex(16)
            groups = f',"{user.group}"' if user.group else ""
            lines.append(f"{token},{user.name},{user.name}{groups}\n")
            self._write_kubeconfig(file, server, token)
        self.tokens.write_text("".join(lines))

    def _certificate(self, name: str, subject: str) -> None:
        key, certificate = self.pki / f"{name}.key", self.pki / f"{name}.crt"
        signer = ["-extensions", "authority"]
        if name != "ca":
            signer = ["-extensions", "leaf", "-CA", str(self.authority), "-CAkey", str(self.pki / "ca.key")]
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
        config = ["-config", self.pki / "openssl.cnf", "-days", "365", "-subj", subject]
        run("openssl", "req", "-x509", *new_key, *config, *signer, "-keyout", key, "-out", certificate)

    def _write_kubeconfig(self, user: str, server: str, token: str) -> None:
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        cluster = {"server": server, "certificate-authority-data": authority}
        path = self.kubeconfig(user)
        path.touch(mode=0o600)
        # JSON is YAML, and the standard library writes it.
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CONTEXT,
            "clusters": [{"name": CONTEXT, "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
        }
        path.write_text(json.dumps(config, indent=1) + "\n")
