"""The chart's values: each documented, each in the schema, bad ones refused by name."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from fettle_api.settings import ApiSettings
from tests.unit.chart.conftest import CHART, HelmError, Manifest, Render

DIALECTS = frozenset(ApiSettings.model_fields["dialect_ports"].default)

REFUSED = [
    ("operator.replicas=0", "operator/replicas", "minimum"),
    ("operator.replicas=many", "operator/replicas", "want integer"),
    ("operator.replica=2", "operator", "'replica' not allowed"),
    ("operator.log.level=LOUD", "operator/log/level", "must be one of"),
    ("operator.queues.default.maxRunning=-1", "operator/queues/default/maxRunning", "minimum"),
    ("operator.queues.default.running=1", "operator/queues/default", "'running' not allowed"),
    ("operator.environment.lower=1", "operator/environment", "lower"),
    ("trainer.image.pullPolicy=Sometimes", "trainer/image/pullPolicy", "must be one of"),
    ("trainer.image.digest=latest", "trainer/image/digest", "does not match pattern"),
    ("trainer.image.repository=", "trainer/image/repository", "minLength"),
    ("trainer.resources.limits.memory=lots", "trainer/resources/limits/memory", "does not match pattern"),
    ("trainer.terminationGracePeriodSeconds=0", "trainer/terminationGracePeriodSeconds", "minimum"),
    ("workspace.size=big", "workspace/size", "does not match pattern"),
    ('workspace.accessModes=["ReadOnlyMany"]', "workspace/accessModes/0", "must be one of"),
    ("workspace.claimName=Fettle", "workspace/claimName", "does not match pattern"),
    ("api.defaultGpus=-1", "api/defaultGpus", "minimum"),
    ("api.service.type=External", "api/service/type", "must be one of"),
    ("api.service.port=99999", "api/service/port", "maximum"),
    ("api.service.dialectPorts.ainode=0", "api/service/dialectPorts/ainode", "minimum"),
    ("api.engine.url=vllm:8000", "api/engine/url", "does not match pattern"),
    ("api.engine.workspace=models", "api/engine/workspace", "does not match pattern"),
    ("api.engine.token=x", "api/engine", "'token' not allowed"),
    ("api.trackingProject=", "api/trackingProject", "minLength"),
    ("api.webhooks.key=a/b", "api/webhooks/key", "does not match pattern"),
    ('api.allowedOutboundHosts=["http://x"]', "api/allowedOutboundHosts/0", "does not match pattern"),
    ("api.authentication=none", "api/authentication", "must be one of 'apikey', 'token'"),
    ("api.service.dialectPorts.anything=80", "api/service/dialectPorts", "'anything' not allowed"),
    ("api.ingress.hosts.http=http://x", "api/ingress/hosts/http", "does not match pattern"),
    ("api.ingress.hosts.v1=x.example", "api/ingress/hosts", "'v1' not allowed"),
    ('api.ingress.tls=[{"secretName": "a"}]', "api/ingress/tls/0", "'hosts'"),
    ("engine.enabled=true", "engine/model", "minLength"),
    ("engine.precision=int8", "engine/precision", "must be one of"),
    ('networkPolicy.apiFrom=[{"pods": {}}]', "networkPolicy/apiFrom/0", "'pods' not allowed"),
    ('networkPolicy.blockedForRuns=["metadata"]', "networkPolicy/blockedForRuns/0", "does not match pattern"),
    ("priorityClasses.low.description=x", "priorityClasses/low", "'value'"),
    ("priorityClasses.low.value=2000000000", "priorityClasses/low/value", "maximum"),
    ("monitoring.serviceMonitor.interval=often", "monitoring/serviceMonitor/interval", "does not match pattern"),
    ("monitoring.prometheusRule.failureRatio=50", "monitoring/prometheusRule/failureRatio", "maximum"),
    ("test.timeoutSeconds=1", "test/timeoutSeconds", "minimum"),
    ('operator.engineKeys=[{"name": "vllm"}]', "operator/engineKeys/0", "'namespace'"),
    ("trainer.serviceAccountName=A", "trainer/serviceAccountName", "does not match pattern"),
    ('workspace.accessModes=["ReadWriteOncePod"]', "workspace/accessModes/0", "must be one of"),
    ("crds.enabled=perhaps", "crds/enabled", "want boolean"),
    ('watchNamespaces=["Team_A"]', "watchNamespaces/0", "does not match pattern"),
]


CONTRADICTORY = [
    (("engine.enabled=true", "engine.model=m", "api.engine.url=http://x:8000"), "api.engine.url and engine.enabled"),
    (("engine.enabled=true", "engine.model=m", "api.enabled=false"), "engine.enabled: nothing loads adapters"),
    (("api.service.dialectPorts.ainode=5001",), "api.service.dialectPorts.qlora: port 5001 is that of ainode"),
    (("api.service.dialectPorts.ainode=8080",), "api.service.dialectPorts.ainode: port 8080 is the main port"),
    (("api.service.port=3000",), "api.service.dialectPorts.ainode: port 3000 is api.service.port"),
    (("api.ingress.enabled=true",), "api.ingress.hosts: name at least one host"),
    (
        ("api.ingress.enabled=true", "api.ingress.hosts.ainode=x.y", "api.service.dialectPorts.ainode=null"),
        "api.ingress.hosts.ainode: api.service.dialectPorts.ainode has no port",
    ),
    (
        ("api.ingress.enabled=true", "api.ingress.hosts.http=x.y", "api.environment.FETTLE_API_AUTHENTICATION=none"),
        "api.ingress.enabled: whoever reaches a port without authentication may do everything",
    ),
]


@pytest.mark.cluster
@pytest.mark.parametrize(("values", "reason"), CONTRADICTORY)
def test_values_that_contradict_each_other_are_refused_by_name(
    render: Render, values: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(HelmError) as refusal:
        render(*values)
    assert reason in str(refusal.value)


@pytest.mark.cluster
@pytest.mark.parametrize(("value", "place", "reason"), REFUSED)
def test_a_bad_value_is_refused_by_name(render: Render, value: str, place: str, reason: str) -> None:
    with pytest.raises(HelmError) as refusal:
        render(value)
    assert place.replace("/", ".") in str(refusal.value).replace("/", ".")
    assert reason in str(refusal.value)


def test_every_value_says_what_it_is_for() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    undocumented = [
        line
        for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False)
        if re.match(r"\s*[a-zA-Z]+:", line)
        and not before.strip().startswith("# --")
        and not _is_deeper(after, line)
        and not _is_described_by_a_parent(line)
    ]
    assert undocumented == []


def test_every_value_has_an_entry_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    missing = [".".join(path) for path in _leaves(values) if not _is_described(schema, path)]
    assert missing == []


def _is_deeper(after: str, line: str) -> bool:
    """Whether the next line opens a level below: then the values there are documented."""
    return len(after) - len(after.lstrip()) > len(line) - len(line.lstrip()) and line.rstrip().endswith(":")


def _is_described_by_a_parent(line: str) -> bool:
    """`resources` and `dialectPorts` are documented as a whole."""
    return line.strip().split(":")[0] in {"requests", "limits", *DIALECTS}


def _leaves(values: Manifest, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name)


def _is_described(schema: Manifest, path: tuple[str, ...]) -> bool:
    for name in path:
        if name in schema.get("properties", {}):
            schema = schema["properties"][name]
        else:
            return schema.get("additionalProperties", True) is not False
    return True
