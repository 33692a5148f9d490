"""Alerts and dashboard name only metrics, labels and values that there are."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fettle_api.metrics import Metrics as FacadeMetrics
from fettle_schema.vocabulary import FailureCode, Phase
from fettle_trainer.serve import metrics as engine_metrics
from tests.support.fake_kubelet import World
from tests.unit.chart.conftest import CHART, Manifest, Render

DOCUMENT = Path(__file__).parents[3] / "docs/metrics.md"
OF_TARGETS = {"namespace", "service", "pod", "job", "instance", "le"}
"""Labels that Prometheus adds to what it scrapes, and that a histogram's buckets have."""
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
SELECTOR = re.compile(r"(fettle_\w+)(?:\{([^{}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|=|!=|!~)\s*"([^"]*)"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")


@cache
def known_samples() -> dict[str, set[str]]:
    """Sample → its own labels: the names are those of operator, facade and engine, the labels those of the document."""
    rows = re.findall(r"^\| `(fettle_\w+)` \| \w+ \|([^|]*)\|", DOCUMENT.read_text(), re.MULTILINE)
    labels = {name.removesuffix("_total"): set(re.findall(r"`(\w+)`", text)) for name, text in rows}
    samples = {
        f"{family.name}{suffix}": labels[family.name]
        for registry in (World().controller.metrics.registry, facade_metrics().registry)
        for family in registry.collect()
        for suffix in SUFFIXES[family.type]
    }
    return samples | {name: set() for name, _, _ in engine_metrics._METRICS}


def facade_metrics() -> FacadeMetrics:
    metrics = FacadeMetrics()
    metrics.read_at_scrape(lambda: 0, lambda: 0)
    return metrics


def alerts(render: Render) -> list[dict[str, Any]]:
    manifests = render("monitoring.prometheusRule.enabled=true")
    [rule] = [one for one in manifests if one["kind"] == "PrometheusRule"]
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((CHART / "dashboards/fettle.json").read_text())
    queries = [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    return [*queries, *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])]


def problems(expression: str) -> list[str]:
    """What in an expression is nothing that anybody exports."""
    samples, found = known_samples(), []
    used: set[str] = set()
    for name, matchers in SELECTOR.findall(expression):
        if name not in samples:
            found.append(f"no metric {name}")
            continue
        used |= samples[name]
        for label, _, value in MATCHER.findall(matchers):
            if label not in samples[name] | OF_TARGETS:
                found.append(f"{name} has no label {label}")
            elif label not in OF_TARGETS:
                found += [f"{name}: {label} is never {one!r}" for one in value.split("|") if not can_be(label, one)]
    grouped = {label.strip() for labels in GROUPING.findall(expression) for label in labels.split(",")}
    return [*found, *(f"grouped by {label}, which no metric there has" for label in grouped - used - OF_TARGETS)]


def can_be(label: str, value: str) -> bool:
    if label == "phase":
        return value in set(Phase)
    if label in ("reason", "cause"):
        return value in set(FailureCode)
    return f"`{value}`" in DOCUMENT.read_text()


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sum(fettle_jobs_lost_total) > 0", "no metric fettle_jobs_lost_total"),
        ('fettle_jobs{colour="red"}', "fettle_jobs has no label colour"),
        ('fettle_jobs{phase="Stuck"}', "fettle_jobs: phase is never 'Stuck'"),
        ("sum by (queue) (fettle_jobs)", "grouped by queue, which no metric there has"),
    ],
)
def test_what_is_wrong_is_found(expression: str, problem: str) -> None:
    assert problems(expression) == [problem]


@pytest.mark.cluster
def test_alerts_use_what_is_exported(render: Render) -> None:
    assert {alert["alert"]: problems(alert["expr"]) for alert in alerts(render) if problems(alert["expr"])} == {}


@pytest.mark.cluster
def test_alerts_tell_what_to_do(render: Render) -> None:
    for alert in alerts(render):
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"].keys() == {"summary", "description"}
        for label in re.findall(r"\$labels\.(\w+)", str(alert["annotations"])):
            assert label in {name.strip() for names in GROUPING.findall(alert["expr"]) for name in names.split(",")}


@pytest.mark.cluster
def test_alerts_look_at_what_the_service_monitor_scrapes(render: Render) -> None:
    manifests = render("monitoring.serviceMonitor.enabled=true", "monitoring.prometheusRule.enabled=true")
    [service] = [one for one in manifests if one["metadata"]["name"].endswith("-metrics")]
    [of_facade] = [one for one in manifests if one["kind"] == "Service" and one is not service]
    monitors = [one["spec"] for one in manifests if one["kind"] == "ServiceMonitor"]
    for monitor, scraped in zip(monitors, (service, of_facade), strict=True):
        assert monitor["selector"]["matchLabels"].items() <= scraped["metadata"]["labels"].items()
        assert monitor["endpoints"][0]["port"] in [port["name"] for port in scraped["spec"]["ports"]]
    [operator] = [one for one in manifests if is_deployment_of(one, "operator")]
    assert service["spec"]["selector"].items() <= operator["spec"]["template"]["metadata"]["labels"].items()
    for alert in alerts(render):
        for name, matchers in SELECTOR.findall(alert["expr"]):
            given = {label: value for label, _, value in MATCHER.findall(matchers)}
            scraped = of_facade if name.startswith("fettle_api_") else service
            assert (given["service"], given["namespace"]) == (scraped["metadata"]["name"], "demo")


def test_the_dashboard_uses_what_is_exported() -> None:
    assert {expression: problems(expression) for expression in dashboard_expressions() if problems(expression)} == {}


@pytest.mark.cluster
def test_without_a_facade_no_alert_waits_for_it(render: Render) -> None:
    manifests = render("monitoring.prometheusRule.enabled=true", "api.enabled=false")
    [rule] = [one for one in manifests if one["kind"] == "PrometheusRule"]
    assert "fettle_api_" not in str(rule)


def test_the_dashboard_shows_every_metric_of_the_operator() -> None:
    text = " ".join(dashboard_expressions())
    shown = {name for name, _ in SELECTOR.findall(text)}
    missing = [
        family.name
        for family in World().controller.metrics.registry.collect()
        if not any(f"{family.name}{suffix}" in shown for suffix in SUFFIXES[family.type])
    ]
    assert missing == []


def is_deployment_of(manifest: Manifest, component: str) -> bool:
    return manifest["kind"] == "Deployment" and manifest["metadata"]["name"].endswith(component)
