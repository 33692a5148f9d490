"""What the chart's ServiceAccounts may do, and that its pods are restricted."""

from pathlib import Path

import pytest

import fettle_api
from fettle_api.adapters.current import CONFIG_MAP
from fettle_api.webhooks.lease import LEASE_NAME
from tests.unit.chart.conftest import Manifest, Render

pytestmark = pytest.mark.cluster

ENGINE = ("engine.enabled=true", "engine.model=models/base")
VALUES = [
    (),
    ENGINE,
    ('watchNamespaces=["one","two"]',),
    ("api.enabled=false",),
    ("api.replicas=2", "operator.replicas=1"),
]
READING_OR_CHANGING = {"get", "list", "watch", "update", "patch", "delete", "deletecollection", "*"}


@pytest.mark.parametrize("values", VALUES)
def test_nothing_reads_or_changes_secrets(render: Render, values: tuple[str, ...]) -> None:
    for name, rules in rules_by_account(render(*values)).items():
        verbs = verbs_on(rules, "secrets")
        assert not verbs & READING_OR_CHANGING, name
        assert verbs == ({"create"} if name.endswith("-api") else set())


@pytest.mark.parametrize("values", VALUES)
def test_nothing_has_a_wildcard(render: Render, values: tuple[str, ...]) -> None:
    for name, rules in rules_by_account(render(*values)).items():
        for rule in rules:
            assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}, name


@pytest.mark.parametrize("resource", ["secrets", "pods/log", "pods/exec", "nodes", "tokenreviews", "namespaces"])
def test_the_operator_has_no_right_to(render: Render, resource: str) -> None:
    assert verbs_on(rules_by_account(render())["fettle-operator"], resource) == set()


@pytest.mark.parametrize("resource", ["pods/exec", "nodes", "jobs", "adapters/status", "trainingjobs/finalizers"])
def test_the_facade_has_no_right_to(render: Render, resource: str) -> None:
    assert verbs_on(rules_by_account(render())["fettle-api"], resource) == set()


@pytest.mark.parametrize(
    ("resource", "names", "verbs"),
    [
        ("leases", {"fettle-submit-cluster", "fettle-submit-milady", LEASE_NAME}, {"get", "update"}),
        ("configmaps", {CONFIG_MAP}, {"get", "patch"}),
    ],
)
def test_the_facade_reads_and_changes_its_own_by_name(
    render: Render, resource: str, names: set[str], verbs: set[str]
) -> None:
    """Nobody can be given the right to create by name; the operator's Lease and others' ConfigMaps are out of reach."""
    rules = [rule for rule in rules_by_account(render())["fettle-api"] if resource in rule["resources"]]
    named, free = ([rule for rule in rules if ("resourceNames" in rule) == is_named] for is_named in (True, False))
    assert {name for rule in named for name in rule["resourceNames"]} == names
    assert verbs_on(named, resource) == verbs
    assert verbs_on(free, resource) == {"create"}


def test_every_dialect_that_submits_on_condition_may_claim(render: Render) -> None:
    sources = (Path(fettle_api.__file__).parent / "dialects").glob("*/*.py")
    dialects = {source.parent.name for source in sources if ".submit_unless_running(" in source.read_text()}
    rules = rules_by_account(render())["fettle-api"]
    names = {name for rule in rules if "leases" in rule["resources"] for name in rule.get("resourceNames", [])}
    assert {f"fettle-submit-{dialect}" for dialect in dialects} <= names
    assert dialects


def test_the_facade_reviews_tokens_and_does_nothing_else_outside_its_namespace(render: Render) -> None:
    [role] = [role for role in of_kinds(render(), "ClusterRole") if role["metadata"]["name"].endswith("-api")]
    expected = {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    assert role["rules"] == [expected]


def test_with_tokens_it_also_asks_what_their_owners_may_do(render: Render) -> None:
    manifests = render("api.authentication=token")
    [role] = [role for role in of_kinds(manifests, "ClusterRole") if role["metadata"]["name"].endswith("-api")]
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["tokenreviews"], ["create"]),
        (["subjectaccessreviews"], ["create"]),
    ]


def test_an_operator_of_some_namespaces_has_rights_there_only(render: Render) -> None:
    manifests = render('watchNamespaces=["one","two"]')
    cluster_roles = [role["metadata"]["name"] for role in of_kinds(manifests, "ClusterRole")]
    assert cluster_roles == ["demo-fettle-api"]
    roles = [role for role in of_kinds(manifests, "Role") if role["metadata"]["name"] == "fettle-operator"]
    assert [role["metadata"]["namespace"] for role in roles] == ["one", "two"]


def test_the_operator_holds_one_lease(render: Render) -> None:
    rules = [rule for rule in rules_by_account(render())["fettle-operator"] if "leases" in rule["resources"]]
    assert [(rule["verbs"], rule.get("resourceNames")) for rule in rules] == [
        (["create"], None),
        (["get", "update"], ["fettle-operator"]),
    ]


def test_the_engine_has_no_rights(render: Render) -> None:
    assert "fettle-engine" not in rules_by_account(render(*ENGINE))


def test_the_test_touches_its_own_job_and_adapter_only(render: Render) -> None:
    assert rules_by_account(render())["fettle-test"] == [
        {"apiGroups": ["fettle.dev"], "resources": ["trainingjobs"], "verbs": ["create"]},
        {
            "apiGroups": ["fettle.dev"],
            "resources": ["trainingjobs", "adapters"],
            "resourceNames": ["fettle-test"],
            "verbs": ["get", "delete"],
        },
    ]


@pytest.mark.parametrize("values", VALUES)
def test_pods_are_restricted(render: Render, values: tuple[str, ...]) -> None:
    manifests = render(*values)
    templates = [deployment["spec"]["template"] for deployment in of_kinds(manifests, "Deployment")]
    hooks = [*of_kinds(manifests, "Pod"), *(job["spec"]["template"] for job in of_kinds(manifests, "Job"))]
    for pod in [one["spec"] for one in (*templates, *hooks)]:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
        kinds = {"projected", "emptyDir", "secret", "configMap", "persistentVolumeClaim"}
        assert all(kinds & set(volume) for volume in pod.get("volumes", []))
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert container["resources"]["requests"]
    for template in templates:
        assert all({"livenessProbe", "readinessProbe"} <= set(one) for one in template["spec"]["containers"])


def test_pods_get_no_variables_from_services(render: Render) -> None:
    """A Service named fettle-api would set FETTLE_API_PORT to an address."""
    for deployment in of_kinds(render(), "Deployment"):
        assert deployment["spec"]["template"]["spec"]["enableServiceLinks"] is False


def of_kinds(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def rules_by_account(manifests: list[Manifest]) -> dict[str, list[Manifest]]:
    """ServiceAccount → every rule that some binding gives it."""
    roles = {(role["kind"], place(role)): role["rules"] for role in of_kinds(manifests, "Role", "ClusterRole")}
    rights: dict[str, list[Manifest]] = {}
    for binding in of_kinds(manifests, "RoleBinding", "ClusterRoleBinding"):
        reference = binding["roleRef"]
        namespace = binding["metadata"].get("namespace") if reference["kind"] == "Role" else None
        for subject in binding["subjects"]:
            rights.setdefault(subject["name"], []).extend(roles[reference["kind"], (namespace, reference["name"])])
    return rights


def place(manifest: Manifest) -> tuple[str | None, str]:
    return manifest["metadata"].get("namespace"), manifest["metadata"]["name"]


def verbs_on(rules: list[Manifest], resource: str) -> set[str]:
    return {
        verb for rule in rules if resource in rule["resources"] or "*" in rule["resources"] for verb in rule["verbs"]
    }
