"""What tests of the monitoring need of Prometheus' projects: its checker, the CRDs of its operator. From Go modules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster import build

PROMTOOL = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
# Its Go module carries the CRDs of ServiceMonitors and PrometheusRules.
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"


def build_promtool() -> Path:
    """The checker of metrics and rules: the one in PATH, else built now unless it is there, in 6 minutes of CPU."""
    if on_path := shutil.which("promtool"):
        return Path(on_path)
    return build.once(build.cache_path() / "promtool" / PROMTOOL.partition("@")[2], _compile_promtool) / "promtool"


def operator_crds() -> list[Path]:
    """The CRDs of the kinds that Prometheus' operator reads: ServiceMonitor and PrometheusRule."""
    target = build.cache_path() / "prometheus-operator" / OPERATOR.partition("@")[2]
    return sorted(build.once(target, _fetch_crds).glob("*.yaml"))


def _compile_promtool(staging: Path) -> None:
    build.say("building promtool, once")
    build.go("install", "-trimpath", "-ldflags", "-s -w", PROMTOOL, cwd=staging, GOBIN=str(staging))


def _fetch_crds(staging: Path) -> None:
    go = build.find_go() or build.install_go()
    command = [str(go), "mod", "download", "-json", OPERATOR]
    finished = subprocess.run(command, cwd=staging, capture_output=True, text=True, env={**os.environ, "GOWORK": "off"})
    if finished.returncode:
        raise build.BuildError(f"`go mod download {OPERATOR}` failed: {finished.stdout}{finished.stderr}")
    source = Path(json.loads(finished.stdout)["Dir"], "example", "prometheus-operator-crd")
    for kind in ("servicemonitors", "prometheusrules"):
        shutil.copyfile(source / f"monitoring.coreos.com_{kind}.yaml", staging / f"{kind}.yaml")
