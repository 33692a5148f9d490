"""Whether this machine can run a test cluster, why not, and the Debian packages that a node needs.

Nothing here starts a cluster. `install` is the only function that changes the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster import build

CNI_PLUGINS = Path("/usr/lib/cni")
CGROUPS = Path("/sys/fs/cgroup")
CONTROL_PLANE_PROGRAMS = {"openssl": "openssl"}
NODE_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    f"{CNI_PLUGINS}/bridge": "containernetworking-plugins",
}
IMAGE_PROGRAMS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "slirp4netns": "slirp4netns"}
CERTIFICATES = {"/etc/ssl/certs/ca-certificates.crt": "ca-certificates"}
# /sbin is not in the PATH of every user, and iptables lives there.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def install() -> None:
    """Installs the packages that are missing for a node and for building images. Needs root and apt-get."""
    packages = sorted(set(_absent({**CONTROL_PLANE_PROGRAMS, **NODE_PROGRAMS, **IMAGE_PROGRAMS, **CERTIFICATES})))
    if not packages:
        print("every Debian package that a node needs is installed")
        return
    print("installing", *packages, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=300"]
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run([*apt, *arguments], check=True, env=environment, stdin=subprocess.DEVNULL)


def missing_for_control_plane() -> list[str]:
    """Reasons why this machine cannot run a control plane, as sentences; empty if it can."""
    if sys.platform != "linux":
        return [f"a test cluster needs Linux, this is {sys.platform}"]
    return [*_missing_packages(CONTROL_PLANE_PROGRAMS), *_missing_for_build()]


def missing_for_node() -> list[str]:
    """Reasons why this machine cannot run a node with containers, as sentences; empty if it can."""
    reasons = missing_for_control_plane()
    if sys.platform != "linux":
        return reasons
    reasons += _missing_packages(NODE_PROGRAMS)
    if os.geteuid() != 0:
        return [*reasons, "a node needs root, for namespaces, mounts and cgroups"]
    namespaces = ["unshare", "--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "true"]
    if shutil.which("unshare") and subprocess.run(namespaces, capture_output=True).returncode:
        reasons.append("root may not make namespaces here; inside a container, start that one with --privileged")
    if not _can_make_cgroups():
        reasons.append(f"cgroups cannot be made below {CGROUPS}; mount it writable")
    return reasons


def missing_for_images() -> list[str]:
    """Reasons why images cannot be built here, as sentences; empty if they can."""
    return _missing_packages({name: IMAGE_PROGRAMS[name] for name in ("buildah", "mmdebstrap")})


def missing_for_egress() -> list[str]:
    """Reasons why pods of this machine cannot reach outward, as sentences; empty if they can."""
    return _missing_packages({"slirp4netns": "slirp4netns"})


def _missing_packages(programs: dict[str, str]) -> list[str]:
    packages = sorted(set(_absent(programs)))
    how = "`python -m tests.cluster install` installs it"
    return [f"the Debian package {package} is missing; {how}" for package in packages]


def _absent(programs: dict[str, str]) -> list[str]:
    return [
        package
        for program, package in programs.items()
        if not (os.path.exists(program) if "/" in program else shutil.which(program, path=SEARCH_PATH))
    ]


def _missing_for_build() -> list[str]:
    if build.kubebox_path().is_dir():
        return []
    reasons = []
    if not build.find_go() and not build.can_install_go():
        reasons.append("there is neither Go nor uv nor pip; install Go 1.25 or later and put it in PATH")
    if not _has_route():
        reasons.append("kubebox is not built yet, and there is no network to fetch its Go modules from")
    return reasons


def _has_route() -> bool:
    """Whether anything outside can be reached at all: a default route, or a proxy."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "GOPROXY")):
        return True
    lines = Path("/proc/net/route").read_text().splitlines()[1:]
    return any(line.split()[1] == "00000000" for line in lines)


def _can_make_cgroups() -> bool:
    hierarchy = CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "memory"
    return os.access(hierarchy, os.W_OK)
