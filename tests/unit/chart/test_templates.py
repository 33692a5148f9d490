"""What the chart installs: every object, by its values."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fettle_api.settings import ApiSettings
from fettle_operator.builders.node_of_workspace import MOUNTS_WORKSPACE, beside_the_workspace
from fettle_schema.crd import DEFINITIONS
from tests.support.fake_kubelet import settings
from tests.unit.chart.conftest import CHART, Render
from tests.unit.chart.manifests import container, deployment, environment, of_kind, pod, without_tests

pytestmark = pytest.mark.cluster

ENGINE = ("engine.enabled=true", "engine.model=models/base")
CRDS = {definition.manifest()["metadata"]["name"] for definition in DEFINITIONS}


def test_the_chart_passes_lint(helm: Callable[..., str]) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_default_values_install_everything(render: Render) -> None:
    kinds = Counter(manifest["kind"] for manifest in without_tests(render()))
    assert kinds == {
        "CustomResourceDefinition": 2,
        **dict.fromkeys(("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"), 2),
        "Deployment": 2,
        "Service": 1,
        "Secret": 2,
        "PersistentVolumeClaim": 1,
        "NetworkPolicy": 3,
        "PodDisruptionBudget": 2,
    }


def test_every_object_is_in_the_namespace_of_the_release_or_in_none(render: Render) -> None:
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for manifest in render():
        expected = None if manifest["kind"] in cluster_wide else "demo"
        assert manifest["metadata"].get("namespace") == expected, manifest["metadata"]["name"]


@pytest.mark.parametrize(
    ("values", "kept"),
    [((), True), (("crds.keep=false",), False)],
)
def test_crds_stay_when_the_release_goes(render: Render, values: tuple[str, ...], kept: bool) -> None:
    crds = of_kind(render(*values), "CustomResourceDefinition")
    assert {crd["metadata"]["name"] for crd in crds} == CRDS
    for crd in crds:
        assert (crd["metadata"].get("annotations") == {"helm.sh/resource-policy": "keep"}) is kept


def test_crds_are_those_of_the_schema(render: Render) -> None:
    rendered = {crd["metadata"]["name"]: crd for crd in of_kind(render("crds.keep=false"), "CustomResourceDefinition")}
    for definition in DEFINITIONS:
        manifest = definition.manifest()
        assert rendered[manifest["metadata"]["name"]] == manifest


def test_crds_can_be_left_out(render: Render) -> None:
    assert of_kind(render("crds.enabled=false"), "CustomResourceDefinition") == []


def test_the_workspace_stays_when_the_release_goes(render: Render) -> None:
    [claim] = of_kind(render("workspace.storageClassName=nfs", "workspace.size=5Gi"), "PersistentVolumeClaim")
    assert claim["metadata"]["name"] == "fettle-workspace"
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "nfs",
        "resources": {"requests": {"storage": "5Gi"}},
    }
    assert of_kind(render("workspace.create=false"), "PersistentVolumeClaim") == []


def test_without_the_facade_nothing_of_it_is_left(render: Render) -> None:
    manifests = render("api.enabled=false", "test.enabled=false")
    assert [manifest["metadata"]["name"] for manifest in manifests if "api" in manifest["metadata"]["name"]] == []
    assert "FETTLE_RECEIVER_URL" not in environment(deployment(manifests, "operator"))


def test_images_are_those_of_the_values(render: Render) -> None:
    manifests = render(
        *("operator.image.repository=registry.example:5000/op", "operator.image.tag=v1", "api.image.tag=v2"),
        *("trainer.image.repository=localhost/t", "trainer.image.tag=v3", "trainer.image.pullPolicy=Never"),
    )
    operator = deployment(manifests, "operator")
    assert container(operator)["image"] == "registry.example:5000/op:v1"
    assert container(deployment(manifests, "api"))["image"] == "fettle-api:v2"
    assert environment(operator)["FETTLE_TRAINER_IMAGE"] == "localhost/t:v3"
    assert environment(operator)["FETTLE_TRAINER_IMAGE_PULL_POLICY"] == "Never"


@pytest.mark.parametrize("component", ["operator", "api"])
def test_placement_and_variables_reach_the_pods(render: Render, component: str) -> None:
    manifests = render(
        f"{component}.nodeSelector.disk=ssd",
        f'{component}.tolerations=[{{"operator": "Exists"}}]',
        f"{component}.podAnnotations.team=ml",
        f"{component}.environment.FETTLE_EXTRA=1a",
        f"{component}.affinity.nodeAffinity.x=y",
        f"{component}.replicas=3",
        'imagePullSecrets=[{"name": "pull"}]',
    )
    ours = deployment(manifests, component)
    assert ours["spec"]["replicas"] == 3
    assert ours["spec"]["template"]["metadata"]["annotations"] == {"team": "ml"}
    assert environment(ours)["FETTLE_EXTRA"] == "1a"
    assert pod(ours)["nodeSelector"] == {"disk": "ssd"}
    assert pod(ours)["tolerations"] == [{"operator": "Exists"}]
    assert pod(ours)["affinity"] == {"nodeAffinity": {"x": "y"}}
    assert pod(ours)["imagePullSecrets"] == [{"name": "pull"}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fullnameOverride=tuning", {"tuning-operator", "tuning-api"}),
        ("nameOverride=lab", {"fettle-lab-operator", "fettle-lab-api"}),
    ],
)
def test_names_can_be_chosen(render: Render, name: str, expected: set[str]) -> None:
    assert {manifest["metadata"]["name"] for manifest in of_kind(render(name), "Deployment")} == expected


def test_settings_accept_what_the_chart_sets(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    from fettle_operator.settings import OperatorSettings

    manifests = render(
        "operator.queues.default.maxRunning=2",
        'watchNamespaces=["one","two"]',
        "trainer.resources.limits.cpu=2",
        "trainer.resources.limits.memory=4Gi",
        "api.modelAliases.small=models/tiny",
        "api.datasetAliases.chat=datasets/chat",
        "api.credentialsSecretName=hub",
        "api.defaultGpus=0",
        "api.trackingProject=ours",
        'api.allowedOutboundHosts=["hooks.internal","10.0.0.1"]',
        "api.engine.url=http://vllm:8000",
        "api.engine.existingSecret=vllm",
    )
    for component in ("operator", "api"):
        for name, value in environment(deployment(manifests, component)).items():
            monkeypatch.setenv(name, value)
    operator = OperatorSettings()
    assert operator.watch_namespaces == ["one", "two"]
    assert operator.queues["default"].max_running == 2
    assert (operator.trainer_cpu_limit, operator.trainer_memory_limit) == ("2", "4Gi")
    assert (operator.lease_name, operator.lease_namespace) == ("fettle-operator", "demo")
    facade = ApiSettings()
    assert (facade.namespace, facade.authentication, facade.default_gpus) == ("demo", "apikey", 0)
    assert facade.model_aliases == {"small": "models/tiny"}
    assert facade.dataset_aliases == {"chat": "datasets/chat"}
    assert facade.dialect_ports == ApiSettings.model_fields["dialect_ports"].default
    assert facade.tracking_project == "ours"
    assert facade.allowed_outbound_hosts == {"hooks.internal", "10.0.0.1"}
    assert (facade.engine_url, facade.engine_workspace) == ("http://vllm:8000", Path("/workspace"))
    assert facade.engine_key_file is not None
    assert facade.webhook_key_file is not None
    assert facade.credentials_secret_name == "hub"


def test_pods_that_mount_a_claim_of_one_node_go_to_one_node(render: Render) -> None:
    values = (*ENGINE, 'workspace.accessModes=["ReadWriteOnce"]')
    manifests = render(
        *values, 'api.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution=[{"topologyKey": "zone"}]'
    )
    facade, engine = (deployment(manifests, component) for component in ("api", "engine"))
    [trial] = of_kind(manifests, "Pod")
    run = beside_the_workspace({"metadata": {"labels": {}}, "spec": {}}, settings(workspace_on_one_node=True))
    for template in (facade["spec"]["template"], engine["spec"]["template"], trial):
        required = template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        [rule] = run["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert required[-1] == rule
        assert MOUNTS_WORKSPACE.items() <= template["metadata"]["labels"].items(), "the first fits its own rule"
    assert pod(facade)["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0] == {
        "topologyKey": "zone"
    }
    assert "podAffinity" not in pod(deployment(manifests, "operator"))["affinity"]
    assert "podAffinity" not in pod(deployment(render(), "api"))["affinity"]


def test_copies_prefer_different_nodes(render: Render) -> None:
    for component in ("operator", "api"):
        ours = deployment(render(), component)
        [rule] = pod(ours)["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        selected = rule["podAffinityTerm"]["labelSelector"]["matchLabels"]
        assert selected.items() <= ours["spec"]["template"]["metadata"]["labels"].items()
