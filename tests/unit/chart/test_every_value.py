"""Every value does something: set to what it has never been by default, it is seen in what is rendered."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.chart.conftest import CHART, TEMPLATE, Manifest, Render

pytestmark = pytest.mark.cluster

DIGEST = f"sha256:{'0' * 64}"


def examples_of_a_pod(part: str) -> dict[str, tuple[Any, str]]:
    """What the operator, the facade and the engine have alike."""
    return {
        f"{part}.nodeSelector": ({"disk": f"of-{part}"}, f"disk: of-{part}"),
        f"{part}.tolerations": ([{"key": f"taint-of-{part}"}], f"key: taint-of-{part}"),
        f"{part}.affinity": ({"nodeAffinity": {f"rule-of-{part}": 1}}, f"rule-of-{part}: 1"),
        f"{part}.priorityClassName": (f"class-of-{part}", f"priorityClassName: class-of-{part}"),
        f"{part}.podAnnotations": ({"note": f"on-{part}"}, f"note: on-{part}"),
        f"{part}.environment": ({"FETTLE_OF": f"in-{part}"}, f'value: "in-{part}"'),
    }


EXAMPLES: dict[str, tuple[Any, str]] = {
    "imagePullSecrets": ([{"name": "pulled"}], "- name: pulled"),
    "watchNamespaces": (["demo", "team-a"], 'value: "demo,team-a"'),
    "trainer.image.repository": ("example/train", "image: example/train:t3"),
    "trainer.image.tag": ("t3", "image: example/train:t3"),
    "trainer.image.pullPolicy": ("Always", "value: Always"),
    "trainer.resources.requests.cpu": ("3", 'FETTLE_TRAINER_CPU_REQUEST\n value: "3"'),
    "trainer.resources.requests.memory": ("3Gi", 'FETTLE_TRAINER_MEMORY_REQUEST\n value: "3Gi"'),
    "trainer.resources.limits.cpu": ("4", 'FETTLE_TRAINER_CPU_LIMIT\n value: "4"'),
    "trainer.resources.limits.memory": ("4Gi", 'FETTLE_TRAINER_MEMORY_LIMIT\n value: "4Gi"'),
    "trainer.terminationGracePeriodSeconds": (77, 'FETTLE_TERMINATION_GRACE_PERIOD_SECONDS\n value: "77"'),
    "trainer.serviceAccountName": ("runs", "FETTLE_TRAINER_SERVICE_ACCOUNT\n value: runs"),
    "workspace.claimName": ("files", "claimName: files"),
    "workspace.size": ("7Gi", "storage: 7Gi"),
    "workspace.storageClassName": ("nfs", "storageClassName: nfs"),
    "workspace.accessModes": (["ReadWriteOnce"], 'FETTLE_WORKSPACE_ON_ONE_NODE\n value: "true"'),
    "operator.image.repository": ("example/op", "image: example/op:o3"),
    "operator.image.tag": ("o3", "image: example/op:o3"),
    "operator.image.pullPolicy": ("Never", "imagePullPolicy: Never"),
    "operator.replicas": (3, "replicas: 3"),
    "operator.engineKeys": (
        [{"namespace": "team-a", "name": "vllm", "secret": "vllm-key", "key": "token"}],
        "items: [{key: token, path: team-a.vllm}]",
    ),
    "operator.queues": ({"default": {"maxRunning": 9}}, r"maxRunning\":9"),
    "operator.log.level": ("DEBUG", "FETTLE_LOG_LEVEL\n value: DEBUG"),
    "operator.log.format": ("text", "FETTLE_LOG_FORMAT\n value: text"),
    "operator.resources.requests.cpu": ("51m", "cpu: 51m"),
    "operator.resources.requests.memory": ("129Mi", "memory: 129Mi"),
    "operator.resources.limits.memory": ("513Mi", "memory: 513Mi"),
    "api.image.repository": ("example/api", "image: example/api:a3"),
    "api.image.tag": ("a3", "image: example/api:a3"),
    "api.image.pullPolicy": ("Always", "imagePullPolicy: Always"),
    "api.replicas": (4, "replicas: 4"),
    "api.apiKey.existingSecret": ("ours", "secretName: ours"),
    "api.apiKey.key": ("our-key", "key: our-key"),
    "api.defaultGpus": (5, 'FETTLE_API_DEFAULT_GPUS\n value: "5"'),
    "api.modelAliases": ({"small": "models/of-ours"}, "models/of-ours"),
    "api.datasetAliases": ({"chat": "datasets/c"}, "datasets/c"),
    "api.credentialsSecretName": ("hub", "value: hub"),
    "api.trackingProject": ("ours", 'value: "ours"'),
    "api.allowedOutboundHosts": (["hooks.internal"], "hooks.internal"),
    "api.webhooks.existingSecret": ("hooks", "secretName: hooks"),
    "api.webhooks.key": ("signing", "key: signing"),
    "api.engine.workspace": ("/data", 'FETTLE_API_ENGINE_WORKSPACE\n value: "/data"'),
    "api.engine.existingSecret": ("admin", "secretName: admin"),
    "api.engine.key": ("admin-key", "key: admin-key"),
    "api.service.type": ("NodePort", "type: NodePort"),
    "api.service.port": (81, "port: 81"),
    "api.service.dialectPorts.ainode": (3001, "port: 3001"),
    "api.service.dialectPorts.qlora": (3002, "port: 3002"),
    "api.service.dialectPorts.cluster": (3003, "port: 3003"),
    "api.service.dialectPorts.milady": (3004, "port: 3004"),
    "api.service.dialectPorts.merlina": (3005, "port: 3005"),
    "api.service.annotations": ({"lb": "internal"}, "lb: internal"),
    "api.ingress.enabled": (True, "kind: Ingress"),
    "api.ingress.className": ("nginx", "ingressClassName: nginx"),
    "api.ingress.annotations": ({"issuer": "us"}, "issuer: us"),
    "api.ingress.hosts": ({"http": "a.example", "merlina": "b.example"}, 'host: "b.example"'),
    "api.ingress.tls": ([{"secretName": "cert", "hosts": ["a.example"]}], "secretName: cert"),
    "api.resources.requests.cpu": ("52m", "cpu: 52m"),
    "api.resources.requests.memory": ("193Mi", "memory: 193Mi"),
    "api.resources.limits.memory": ("2Gi", "memory: 2Gi"),
    "engine.enabled": (True, "name: fettle-engine"),
    "engine.model": ("models/base", "--model=models/base"),
    "engine.replicas": (5, "replicas: 5"),
    "engine.maxLoraRank": (65, "--max-lora-rank=65"),
    "engine.maxAdapters": (33, "--max-adapters=33"),
    "engine.cacheMib": (2049, "--cache-mib=2049"),
    "engine.precision": ("fp32", "--precision=fp32"),
    "engine.extraArguments": (["--max-length=9"], "- --max-length=9"),
    "engine.resources.requests.cpu": ("53m", "cpu: 53m"),
    "engine.resources.requests.memory": ("5Gi", "memory: 5Gi"),
    "networkPolicy.apiFrom": ([{"podSelector": {"matchLabels": {"may": "call"}}}], "may: call"),
    "networkPolicy.engineFrom": ([{"podSelector": {"matchLabels": {"may": "chat"}}}], "may: chat"),
    "networkPolicy.metricsFrom": ([{"podSelector": {"matchLabels": {"may": "read"}}}], "may: read"),
    "networkPolicy.blockedForRuns": (["10.9.0.0/16"], "- 10.9.0.0/16"),
    "priorityClasses": ({"training-low": {"value": -10}}, "value: -10"),
    "monitoring.serviceMonitor.enabled": (True, "kind: ServiceMonitor"),
    "monitoring.serviceMonitor.interval": ("17s", "interval: 17s"),
    "monitoring.serviceMonitor.labels": ({"found": "monitor"}, "found: monitor"),
    "monitoring.prometheusRule.enabled": (True, "kind: PrometheusRule"),
    "monitoring.prometheusRule.labels": ({"found": "rule"}, "found: rule"),
    "monitoring.prometheusRule.queueWaitSeconds": (3601, "> 3601"),
    "monitoring.prometheusRule.failureRatio": (0.51, "> 0.51"),
    "monitoring.prometheusRule.checkpointAgeSeconds": (7201, "> 7201"),
    "monitoring.prometheusRule.wastedGpuRatio": (0.26, "> 0.26"),
    "monitoring.dashboard.enabled": (True, "fettle-dashboard"),
    "monitoring.dashboard.labels.grafana_dashboard": ("yes", 'grafana_dashboard: "yes"'),
    "test.timeoutSeconds": (241, "--timeout-seconds=241"),
    "test.resources.requests.cpu": ("251m", "cpu: 251m"),
    "test.resources.requests.memory": ("769Mi", "memory: 769Mi"),
    **examples_of_a_pod("operator"),
    **examples_of_a_pod("api"),
    **examples_of_a_pod("engine"),
}
"""Value → what it is set to, and what is then in the manifests and is not there by default. Indentation is left out."""

ALONE: dict[str, tuple[str, str, int]] = {
    "nameOverride": ("nameOverride=lab", "name: fettle-lab-operator", 1),
    "fullnameOverride": ("fullnameOverride=tuning", "name: tuning-operator", 1),
    "crds.enabled": ("crds.enabled=false", "kind: CustomResourceDefinition", -1),
    "crds.keep": ("crds.keep=false", "kind: CustomResourceDefinition\nmetadata:\nannotations:", -1),
    **{
        f"{part}.image.digest": (f"{part}.image.digest={DIGEST}", f"fettle-{part}@{DIGEST}", 1)
        for part in ("trainer", "operator", "api")
    },
    "workspace.create": ("workspace.create=false", "kind: PersistentVolumeClaim", -1),
    "api.enabled": ("api.enabled=false", "name: fettle-api", -1),
    "api.authentication": ("api.authentication=token", "subjectaccessreviews", 1),
    "api.engine.url": ("api.engine.url=http://vllm:8000", "http://vllm:8000", 1),
    "networkPolicy.enabled": ("networkPolicy.enabled=false", "kind: NetworkPolicy", -1),
    "podDisruptionBudgets.enabled": ("podDisruptionBudgets.enabled=false", "kind: PodDisruptionBudget", -1),
    "test.enabled": ("test.enabled=false", "fettle_client.trial", -1),
}
"""Values that would hide others: each is set alone; 1 when the text appears with it, -1 when it is gone."""


@pytest.fixture(scope="module")
def by_default(helm: Callable[..., str]) -> str:
    return without_indentation(helm(*TEMPLATE))


@pytest.fixture(scope="module")
def with_all(helm: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is rendered with all examples at once."""
    path: Path = tmp_path_factory.mktemp("values") / "values.json"
    values: Manifest = {}
    for name, (value, _) in EXAMPLES.items():
        *parents, last = name.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    path.write_text(json.dumps(values))
    return without_indentation(helm(*TEMPLATE, f"--values={path}"))


def test_every_value_has_an_example() -> None:
    values = set(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    assert values == EXAMPLES.keys() | ALONE.keys()
    assert EXAMPLES.keys().isdisjoint(ALONE)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_value_is_seen_in_the_manifests(name: str, by_default: str, with_all: str) -> None:
    expected = without_indentation(EXAMPLES[name][1])
    assert expected in with_all
    assert expected not in by_default


@pytest.mark.parametrize("name", ALONE)
def test_a_value_that_would_hide_others_is_seen_alone(name: str, helm: Callable[..., str], by_default: str) -> None:
    setting, text, change = ALONE[name]
    changed = without_indentation(helm(*TEMPLATE, "--set", setting))
    with_text, without = (changed, by_default) if change > 0 else (by_default, changed)
    assert text in with_text
    assert text not in without


def test_dialects_without_a_port_have_none(render: Render) -> None:
    manifests = render("api.service.dialectPorts.milady=null")
    [service] = [m for m in manifests if m["kind"] == "Service"]
    assert "milady" not in {port["name"] for port in service["spec"]["ports"]}


def without_indentation(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())


def leaves(values: Manifest, path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"
