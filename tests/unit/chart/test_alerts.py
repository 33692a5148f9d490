"""Alerts against series as Prometheus records them, by its own promtool: each fires when it should, and not before."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from fettle_api.metrics import Metrics as FacadeMetrics
from fettle_trainer.serve import metrics as engine_metrics
from tests.cluster import prometheus
from tests.support.fake_kubelet import World
from tests.unit.chart.conftest import Render

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]

Promtool = Callable[..., str]
OURS = 'namespace="demo",service="fettle-operator-metrics"'
Series = dict[str, str]
"""Series → values, one a minute, in promtool's notation."""
FACADE = 'namespace="demo",service="fettle-api"'

ANSWERED: Series = {
    f'fettle_api_progress_reports_total{{{FACADE},outcome="accepted"}}': "0+60x600",
    f'fettle_api_progress_reports_total{{{FACADE},outcome="refused"}}': "0+1x600",
    f'fettle_api_progress_reports_total{{{FACADE},outcome="failed"}}': "0x600",
    f'fettle_api_progress_writes_total{{{FACADE},outcome="written"}}': "0+6x600",
    f'fettle_api_progress_writes_total{{{FACADE},outcome="failed"}}': "0x600",
}
LED: Series = {f'fettle_is_leader{{{OURS},pod="a"}}': "1x600", f'fettle_is_leader{{{OURS},pod="b"}}': "0x600"}
HEALTHY: Series = {
    **LED,
    **ANSWERED,
    f'fettle_reconciles_total{{{OURS},outcome="changed"}}': "0+5x600",
    f'fettle_queue_wait_seconds_bucket{{{OURS},queue="default",le="900"}}': "0+9x600",
    f'fettle_queue_wait_seconds_bucket{{{OURS},queue="default",le="3600"}}': "0+10x600",
    f'fettle_queue_wait_seconds_bucket{{{OURS},queue="default",le="+Inf"}}': "0+10x600",
    f'fettle_jobs_ended_total{{{OURS},phase="Succeeded",reason="Succeeded"}}': "0+3x600",
    f'fettle_jobs_ended_total{{{OURS},phase="Failed",reason="DatasetInvalid"}}': "0+1x600",
    f"fettle_checkpoint_age_seconds{{{OURS}}}": "600x600",
    f'fettle_gpu_seconds_total{{{OURS},outcome="kept"}}': "0+400x600",
    f'fettle_gpu_seconds_total{{{OURS},outcome="wasted"}}': "0+20x600",
}
FIRING: dict[str, tuple[str, Series, dict[str, str]]] = {
    "no copy is there": ("FettleOperatorDown", {}, {"severity": "critical"}),
    "no copy leads": (
        "FettleOperatorDown",
        {f'fettle_is_leader{{{OURS},pod="a"}}': "0x600"},
        {"severity": "critical"},
    ),
    "two copies lead": (
        "FettleOperatorDown",
        {f'fettle_is_leader{{{OURS},pod="{pod}"}}': "1x600" for pod in "ab"},
        {"severity": "critical"},
    ),
    "errors": (
        "FettleReconcileErrors",
        {f'fettle_reconciles_total{{{OURS},outcome="error"}}': "0+1x600"},
        {"severity": "warning"},
    ),
    "a long queue": (
        "FettleQueueWait",
        {
            f'fettle_queue_wait_seconds_bucket{{{OURS},queue="batch",le="{bound}"}}': f"0+{count}x600"
            for bound, count in (("900", 0), ("3600", 1), ("14400", 10), ("+Inf", 10))
        },
        {"severity": "warning", "queue": "batch"},
    ),
    "the first stall ends its job": (
        "FettleRunStalled",
        {f'fettle_jobs_ended_total{{{OURS},phase="Failed",reason="Stalled"}}': "_x110 1x500"},
        {"severity": "warning"},
    ),
    "the first stall starts a job again": (
        "FettleRunStalled",
        {f'fettle_job_restarts_total{{{OURS},cause="Stalled"}}': "_x110 1x500"},
        {"severity": "warning"},
    ),
    "most jobs fail": (
        "FettleFailureRatio",
        {
            f'fettle_jobs_ended_total{{{OURS},phase="Succeeded",reason="Succeeded"}}': "0+1x600",
            f'fettle_jobs_ended_total{{{OURS},phase="Failed",reason="DiskFull"}}': "0+2x600",
            f'fettle_jobs_ended_total{{{OURS},phase="Cancelled",reason="Cancelled"}}': "0+90x600",
        },
        {"severity": "warning"},
    ),
    "an old checkpoint": (
        "FettleCheckpointAge",
        {f"fettle_checkpoint_age_seconds{{{OURS}}}": "7201x600"},
        {"severity": "warning"},
    ),
    "no facade": (
        "FettleFacadeDown",
        {},
        {"severity": "critical", "namespace": "demo", "service": "fettle-api"},
    ),
    "progress is not written": (
        "FettleReceiverErrors",
        {**ANSWERED, f'fettle_api_progress_writes_total{{{FACADE},outcome="failed"}}': "0+1x600"},
        {"severity": "warning"},
    ),
    "reports are refused": (
        "FettleReceiverErrors",
        {**ANSWERED, f'fettle_api_progress_reports_total{{{FACADE},outcome="refused"}}': "0+99x600"},
        {"severity": "warning"},
    ),
    "lost work": (
        "FettleGpuSecondsWasted",
        {
            f'fettle_gpu_seconds_total{{{OURS},outcome="kept"}}': "0+2x600",
            f'fettle_gpu_seconds_total{{{OURS},outcome="wasted"}}': "0+1x600",
        },
        {"severity": "warning"},
    ),
}
"""What happens → the alert, the series, and the labels that it has after two hours."""


@pytest.fixture(scope="module")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> Promtool:
    program, folder = prometheus.build_promtool(), tmp_path_factory.mktemp("promtool")

    def run(*arguments: str, stdin: bytes = b"", **files: object) -> str:
        for name, content in files.items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        finished = subprocess.run([str(program), *arguments], input=stdin, capture_output=True, cwd=folder)
        output = (finished.stdout + finished.stderr).decode()
        assert finished.returncode == 0, output
        return output

    return run


@pytest.fixture(scope="module")
def rules(render: Render) -> dict[str, Any]:
    """The rule file that Prometheus' operator would write."""
    manifests = render("monitoring.prometheusRule.enabled=true")
    [rule] = [one for one in manifests if one["kind"] == "PrometheusRule"]
    return {"groups": rule["spec"]["groups"]}


def cases_of(series: Series, expected: dict[str, list[dict[str, Any]]], at: str = "2h") -> dict[str, Any]:
    return {
        "rule_files": ["rules.yaml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    {"eval_time": at, "alertname": alert, "exp_alerts": alerts} for alert, alerts in expected.items()
                ],
            }
        ],
    }


def annotated(rules: dict[str, Any], alert: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"exp_labels": labels, "exp_annotations": annotations_of(rules, alert)}


def annotations_of(rules: dict[str, Any], alert: str) -> dict[str, str]:
    """As they are after templates are filled in with what the series above give."""
    filled = {
        "{{ $labels.queue }}": "batch",
        "FettleQueueWait {{ $value | humanizeDuration }}": "3h 40m 0s",
        "FettleCheckpointAge {{ $value | humanizeDuration }}": "2h 0m 1s",
        "FettleFailureRatio {{ $value | humanizePercentage }}": "66.67%",
        "FettleGpuSecondsWasted {{ $value | humanizePercentage }}": "33.33%",
    }
    [rule] = [one for group in rules["groups"] for one in group["rules"] if one["alert"] == alert]
    texts: dict[str, str] = dict(rule["annotations"])
    for template, value in filled.items():
        name, _, text = template.partition(" ") if template.startswith("Fettle") else (alert, "", template)
        if name == alert:
            texts = {key: written.replace(text, value) for key, written in texts.items()}
    return texts


def test_the_rules_are_rules(promtool: Promtool, rules: dict[str, Any]) -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", rules=rules)


@pytest.mark.parametrize("name", FIRING)
def test_an_alert_fires(promtool: Promtool, rules: dict[str, Any], name: str) -> None:
    alert, series, labels = FIRING[name]
    series = series if alert == "FettleOperatorDown" else {**LED, **series}
    given = cases_of(series, {alert: [annotated(rules, alert, labels)]})
    promtool("test", "rules", "tests.yaml", rules=rules, tests=given)


def test_nothing_fires_where_all_is_well(promtool: Promtool, rules: dict[str, Any]) -> None:
    alerts = [one["alert"] for group in rules["groups"] for one in group["rules"]]
    assert set(alerts) == {alert for alert, _, _ in FIRING.values()}, "every alert has a case in which it fires"
    promtool("test", "rules", "tests.yaml", rules=rules, tests=cases_of(HEALTHY, {alert: [] for alert in alerts}))


def test_a_moment_without_a_leader_is_no_alert(promtool: Promtool, rules: dict[str, Any]) -> None:
    series = {f'fettle_is_leader{{{OURS},pod="a"}}': "1x100 0x3 1x500"}
    given = cases_of(series, {"FettleOperatorDown": []}, at="103m")
    promtool("test", "rules", "tests.yaml", rules=rules, tests=given)


def test_metrics_are_named_as_prometheus_wants_them(promtool: Promtool) -> None:
    assert promtool("check", "metrics", stdin=World().controller.metrics.text()) == ""
    assert promtool("check", "metrics", stdin=FacadeMetrics().text()) == ""
    names = [
        f"# HELP {name} {about}\n# TYPE {name} {kind}\n{name} 1\n" for name, kind, about in engine_metrics._METRICS
    ]
    assert promtool("check", "metrics", stdin="".join(names).encode()) == ""
