"""Who reaches what: the Service, the Ingress, NetworkPolicies."""

import pytest

from fettle_api.settings import ApiSettings
from fettle_operator.builders.metadata import labels as labels_of_a_run
from tests.unit.chart.conftest import Render
from tests.unit.chart.manifests import container, deployment, environment, of_kind

pytestmark = pytest.mark.cluster

ENGINE = ("engine.enabled=true", "engine.model=models/base")


def test_the_service_reaches_the_facade(render: Render) -> None:
    manifests = render("api.service.port=80", "api.service.type=NodePort")
    [service] = of_kind(manifests, "Service")
    facade = deployment(manifests, "api")
    assert service["spec"]["type"] == "NodePort"
    expected = {"http": 80, **ApiSettings().dialect_ports}
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == expected
    container_ports = {port["name"] for port in container(facade)["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == container_ports
    assert service["spec"]["selector"].items() <= facade["spec"]["template"]["metadata"]["labels"].items()
    url = environment(deployment(manifests, "operator"))["FETTLE_RECEIVER_URL"]
    assert url == f"http://{service['metadata']['name']}.demo:80"


def test_each_host_of_an_ingress_leads_to_its_dialect(render: Render) -> None:
    dialects = ("http", *ApiSettings().dialect_ports)
    hosts = [f"api.ingress.hosts.{dialect}={dialect}.example" for dialect in dialects]
    manifests = render("api.ingress.enabled=true", *hosts)
    [ingress] = of_kind(manifests, "Ingress")
    [service] = of_kind(manifests, "Service")
    backends = {rule["host"]: rule["http"]["paths"][0]["backend"]["service"] for rule in ingress["spec"]["rules"]}
    assert backends == {
        f"{dialect}.example": {"name": service["metadata"]["name"], "port": {"name": dialect}} for dialect in dialects
    }
    assert {port["name"] for port in service["spec"]["ports"]} == set(dialects)
    assert of_kind(render(), "Ingress") == []


def test_policies_select_pods_that_there_are(render: Render) -> None:
    manifests = render(*ENGINE, 'watchNamespaces=["demo","team-a"]')
    policies = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]
        for one in of_kind(manifests, "NetworkPolicy")
    }
    for component in ("operator", "api", "engine"):
        labels = deployment(manifests, component)["spec"]["template"]["metadata"]["labels"]
        spec = policies["demo", f"fettle-{component}"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()
        ports = {port["name"] for port in container(deployment(manifests, component))["ports"]}
        assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} == ports
    run_labels = labels_of_a_run({"metadata": {"name": "a", "uid": "b"}}, 1)
    for namespace in ("demo", "team-a"):
        run = policies[namespace, "fettle-runs"]["podSelector"]
        assert run["matchLabels"].items() <= run_labels.items()
    ours = deployment(manifests, "api")["spec"]["template"]["metadata"]["labels"]
    assert not run["matchLabels"].items() <= ours.items(), "the policy of runs is theirs alone"


def test_runs_reach_everything_but_the_nodes_credentials(render: Render) -> None:
    [spec] = [one["spec"] for one in of_kind(render(), "NetworkPolicy") if one["metadata"]["name"] == "fettle-runs"]
    [rule] = spec["egress"]
    assert rule["to"] == [
        {"namespaceSelector": {}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}},
    ]
