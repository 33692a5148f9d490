"""The command line of the test cluster: `python -m tests.cluster --help`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster import build, machine
from tests.cluster.cluster import Cluster
from tests.cluster.processes import ClusterError

DEFAULT_HOME = Path(tempfile.gettempdir()) / "fettle-cluster"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (ClusterError, build.BuildError, subprocess.CalledProcessError) as error:
        print(f"tests.cluster: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A real Kubernetes for the tests.")
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help=f"its folder (default: {DEFAULT_HOME})")
    parser.add_argument("--slot", type=int, help="which of the 100 clusters of this machine (default: a free one)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install the Debian packages that a node needs")
    commands.add_parser("check", help="say why a control plane or a node cannot run here")
    made = commands.add_parser("build", help="build Kubernetes and helm, once for each version")
    made.add_argument("--kueue", action="store_true", help="build Kueue too")
    up = commands.add_parser("up", help="start a cluster")
    up.add_argument("--node", action="store_true", help="with a node that runs containers (root)")
    up.add_argument("--gpus", type=int, default=0, metavar="N", help="let the node offer N of nvidia.com/gpu")
    up.add_argument("--egress", action="store_true", help="let pods reach outward")
    commands.add_parser("load", help="give the node an image").add_argument("image", metavar="IMAGE-or-TAR")
    commands.add_parser("env", help="print what a shell needs for kubectl and helm")
    commands.add_parser("kubeconfig", help="print the kubeconfig of the running cluster")
    commands.add_parser("down", help="end the cluster and remove its folder")
    return parser


def _run(options: argparse.Namespace) -> None:
    cluster = Cluster(options.home, options.slot)
    match options.command:
        case "install":
            machine.install()
        case "check":
            _check()
        case "build":
            print(
                build.build_kubebox(), build.build_helm(), *([build.build_kueue()] if options.kueue else []), sep="\n"
            )
        case "up":
            cluster.up(options.node, options.gpus, options.egress)
            _print_environment(cluster.kubeconfig)
        case "env":
            _read(cluster.kubeconfig)
            _print_environment(cluster.kubeconfig)
        case "load":
            print(*cluster.load(options.image), sep="\n")
        case "kubeconfig":
            print(_read(cluster.kubeconfig), end="")
        case "down":
            cluster.down()


def _check() -> None:
    for what, reasons in (
        ("a control plane", machine.missing_for_control_plane()),
        ("a node", machine.missing_for_node()),
    ):
        print(f"{what} cannot run here:" if reasons else f"{what} can run here", *reasons, sep="\n  ")


def _print_environment(kubeconfig: Path) -> None:
    print(f"export KUBECONFIG={kubeconfig}")
    print(f"export PATH={build.kubebox_path()}:{build.helm_path().parent}:$PATH")


def _read(kubeconfig: Path) -> str:
    if not kubeconfig.exists():
        raise ClusterError(f"no cluster runs in {kubeconfig.parent}; `up` starts one")
    return kubeconfig.read_text()


if __name__ == "__main__":
    sys.exit(main())
