"""What the chart installs: every object, by its values."""

import base64
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle_api.settings import ApiSettings
from fettle_api.webhooks.signing import read_key
from fettle_operator.builders.metadata import labels as labels_of_a_run
from fettle_operator.builders.node_of_workspace import MOUNTS_WORKSPACE, beside_the_workspace
from fettle_schema.crd import DEFINITIONS
from fettle_schema.manifests import load_manifests
from fettle_schema.validation import admit
from fettle_trainer.serve.__main__ import parse
from tests.unit.chart.conftest import CHART, Manifest, Render

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


@pytest.mark.parametrize("name", ["api-key", "webhook-key"])
def test_a_key_is_random(render: Render, name: str) -> None:
    first, second = (secret_of(manifests, name) for manifests in (render(), render(again=True)))
    assert first["data"][name] != second["data"][name]


def test_the_webhooks_key_can_be_read(render: Render, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(base64.b64decode(secret_of(render(), "webhook-key")["data"]["webhook-key"]))
    assert len(read_key(path).content) == 32


def test_keys_can_be_those_of_secrets_that_exist(render: Render) -> None:
    manifests = render(
        *("api.apiKey.existingSecret=ours", "api.apiKey.key=token"),
        *("api.webhooks.existingSecret=hooks", "api.webhooks.key=signing"),
        *("api.engine.url=http://vllm.serving:8000", "api.engine.existingSecret=vllm", "api.engine.key=admin"),
    )
    assert of_kind(manifests, "Secret") == []
    facade = deployment(manifests, "api")
    mounts = {mount["name"]: mount["mountPath"] for mount in container(facade)["volumeMounts"]}
    secrets = {volume["name"]: volume["secret"] for volume in pod(facade)["volumes"] if "secret" in volume}
    files = {secret["secretName"]: f"{mounts[name]}/{secret['items'][0]['path']}" for name, secret in secrets.items()}
    variables = environment(facade)
    assert files == {
        "ours": variables["FETTLE_API_API_KEY_FILE"],
        "hooks": variables["FETTLE_API_WEBHOOK_KEY_FILE"],
        "vllm": variables["FETTLE_API_ENGINE_KEY_FILE"],
    }
    assert [secret["items"][0]["key"] for secret in secrets.values()] == ["token", "signing", "admin"]


def test_no_key_is_in_a_variable(render: Render) -> None:
    manifests = render()
    secrets = of_kind(manifests, "Secret")
    others = [manifest for manifest in manifests if manifest not in secrets]
    assert len(secrets) == 2
    for secret in secrets:
        (value,) = secret["data"].values()
        assert value not in str(others)


def test_with_tokens_there_is_no_key(render: Render) -> None:
    manifests = render("api.authentication=token")
    facade = deployment(manifests, "api")
    variables = environment(facade)
    assert variables["FETTLE_API_AUTHENTICATION"] == "token"
    assert "FETTLE_API_API_KEY_FILE" not in variables
    assert "api-key" not in {volume["name"] for volume in pod(facade)["volumes"]}
    assert not [secret for secret in of_kind(manifests, "Secret") if secret["metadata"]["name"].endswith("api-key")]


def test_an_engine_without_a_key_has_no_volume(render: Render) -> None:
    facade = deployment(render("api.engine.url=http://vllm:8000", "api.engine.workspace=/data"), "api")
    variables = environment(facade)
    assert variables["FETTLE_API_ENGINE_URL"] == "http://vllm:8000"
    assert variables["FETTLE_API_ENGINE_WORKSPACE"] == "/data"
    assert "FETTLE_API_ENGINE_KEY_FILE" not in variables
    assert "engine-key" not in {volume["name"] for volume in pod(facade)["volumes"]}
    assert "FETTLE_API_ENGINE_URL" not in environment(deployment(render(), "api"))


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
    run = beside_the_workspace({"metadata": {"labels": {}}, "spec": {}})
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


def test_the_built_in_engine_is_the_facades(render: Render) -> None:
    manifests = render(*ENGINE)
    engine, facade = deployment(manifests, "engine"), deployment(manifests, "api")
    [service] = [one for one in of_kind(manifests, "Service") if one["metadata"]["name"] == "fettle-engine"]
    assert (
        environment(facade)["FETTLE_API_ENGINE_URL"]
        == f"http://fettle-engine.demo:{service['spec']['ports'][0]['port']}"
    )
    labels = engine["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert labels["fettle.dev/engine"] == "true"
    key = secret_of(manifests, "engine-key")
    for each in (engine, facade):
        [volume] = [volume for volume in pod(each)["volumes"] if volume["name"] == "engine-key"]
        assert volume["secret"]["secretName"] == key["metadata"]["name"]
    [mounted] = [volume for volume in pod(deployment(manifests, "operator"))["volumes"] if "projected" in volume]
    [source] = mounted["projected"]["sources"]
    assert source["secret"]["name"] == key["metadata"]["name"]
    assert source["secret"]["items"] == [{"key": "engine-key", "path": "demo.engine-key"}]
    assert pod(engine)["automountServiceAccountToken"] is False
    mounts = {mount["name"]: mount.get("readOnly", False) for mount in container(engine)["volumeMounts"]}
    assert mounts == {"workspace": True, "engine-key": True, "tmp": False}


def test_the_engine_understands_its_command_line(render: Render) -> None:
    engine = container(deployment(render(*ENGINE, 'engine.extraArguments=["--max-length=64"]'), "engine"))
    assert engine["command"] == ["python", "-m", "fettle_trainer.serve"]
    settings = parse(engine["args"])
    assert (settings.model, settings.port, settings.max_length) == ("models/base", 8000, 64)
    assert engine["workingDir"] == "/workspace", "so that models/… is found, and is the base model's name"
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in engine["volumeMounts"]}
    assert settings.admin_key_file == mounts["engine-key"] / "engine-key"


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


def test_uninstalling_lets_go_of_the_adapters_that_were_watched(render: Render) -> None:
    for values, options in (((), []), (('watchNamespaces=["one","two"]',), ["--namespace=one", "--namespace=two"])):
        [job] = of_kind(render(*values), "Job")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-delete", "when no operator is left"
        assert container(job)["command"] == ["python", "-m", "fettle_client.finalizers", *options]


def test_the_test_is_left_out_where_no_job_is_run(render: Render) -> None:
    assert of_kind(render('watchNamespaces=["elsewhere"]'), "Pod") == []
    assert len(of_kind(render('watchNamespaces=["elsewhere","demo"]'), "Pod")) == 1


def test_the_tests_job_is_a_job(render: Render) -> None:
    [config_map] = of_kind(render('imagePullSecrets=[{"name": "pull"}]'), "ConfigMap")
    [job] = load_manifests(config_map["data"]["job.yaml"])
    spec = admit(job)["spec"]
    assert spec["hyperparameters"]["maxSteps"] == 5
    assert spec["resources"]["gpusPerNode"] == 0
    [trial] = of_kind(render(), "Pod")
    [init] = trial["spec"]["initContainers"]
    assert f"models/{init['command'][-1]}" == spec["baseModel"]["path"]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def without_tests(manifests: list[Manifest]) -> list[Manifest]:
    """What `helm install` makes: hooks of `helm test` are left out."""
    return [one for one in manifests if "helm.sh/hook" not in (one["metadata"].get("annotations") or {})]


def secret_of(manifests: list[Manifest], suffix: str) -> Manifest:
    [found] = [one for one in of_kind(manifests, "Secret") if one["metadata"]["name"].endswith(f"-{suffix}")]
    return found


def deployment(manifests: list[Manifest], component: str) -> Manifest:
    [found] = [one for one in of_kind(manifests, "Deployment") if one["metadata"]["name"].endswith(f"-{component}")]
    return found


def pod(deployment: Manifest) -> dict[str, Any]:
    return dict(deployment["spec"]["template"]["spec"])


def container(deployment: Manifest) -> dict[str, Any]:
    [found] = pod(deployment)["containers"]
    return dict(found)


def environment(deployment: Manifest) -> dict[str, str]:
    variables = container(deployment)["env"]
    assert all(isinstance(variable["value"], str) for variable in variables), "a value that is no string"
    return {variable["name"]: variable["value"] for variable in variables}
