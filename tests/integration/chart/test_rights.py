"""What each ServiceAccount of the chart may do, asked of a real API server: this table, and nothing else.

Every resource below is asked for with every verb. A right that the table lacks is as much a failure as one that is
missing: the table is the whole of it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import product

import pytest

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import ResourceKind
from tests.integration.chart.conftest import RenderHere, kind_of
from tests.integration.chart.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES

ELSEWHERE = "default"
REVIEWS = ResourceKind("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False)
RIGHTS_KINDS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
RESOURCES = (
    *("pods", "pods/log", "pods/exec", "pods/attach", "pods/eviction", "pods/portforward", "pods/ephemeralcontainers"),
    *("secrets", "configmaps", "services", "events", "persistentvolumeclaims", "persistentvolumes", "nodes"),
    *("nodes/proxy", "namespaces", "serviceaccounts", "serviceaccounts/token", "endpoints", "replicationcontrollers"),
    *("jobs.batch", "jobs.batch/status", "cronjobs.batch", "deployments.apps", "statefulsets.apps", "daemonsets.apps"),
    *("leases.coordination.k8s.io", "trainingjobs.fettle.dev", "trainingjobs.fettle.dev/status"),
    *("trainingjobs.fettle.dev/finalizers", "adapters.fettle.dev", "adapters.fettle.dev/status"),
    *("adapters.fettle.dev/finalizers", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"),
    *("clusterroles.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io"),
    *("tokenreviews.authentication.k8s.io", "subjectaccessreviews.authorization.k8s.io"),
    *("customresourcedefinitions.apiextensions.k8s.io", "networkpolicies.networking.k8s.io"),
    *("poddisruptionbudgets.policy", "priorityclasses.scheduling.k8s.io", "workloads.kueue.x-k8s.io"),
    *("validatingwebhookconfigurations.admissionregistration.k8s.io", "certificatesigningrequests.certificates.k8s.io"),
)
READ = ("get", "list", "watch")
Rights = dict[str, tuple[str, ...]]

OPERATOR: Rights = {
    "trainingjobs.fettle.dev": (*READ, "delete"),
    "trainingjobs.fettle.dev/status": ("patch",),
    "trainingjobs.fettle.dev/finalizers": ("update",),
    "adapters.fettle.dev": (*READ, "create", "update"),
    "adapters.fettle.dev/status": ("patch",),
    "adapters.fettle.dev/finalizers": ("update",),
    "workloads.kueue.x-k8s.io": ("list",),
    "jobs.batch": (*READ, "create", "delete"),
    "pods": READ,
    "configmaps": ("get", "create"),
    "services": ("get", "create"),
    "persistentvolumeclaims": ("get",),
    "events": ("create", "patch"),
}
FACADE: Rights = {
    "trainingjobs.fettle.dev": (*READ, "create", "patch", "delete"),
    "trainingjobs.fettle.dev/status": ("patch",),
    "adapters.fettle.dev": (*READ, "create", "patch", "delete"),
    "configmaps": ("create",),
    "leases.coordination.k8s.io": ("create",),
    "secrets": ("create",),
    "pods": ("get", "list"),
    "pods/log": ("get",),
}
LEADER: Rights = {"leases.coordination.k8s.io": ("create",)}
TEST: Rights = {"trainingjobs.fettle.dev": ("create",)}
UNINSTALL: Rights = {"adapters.fettle.dev": ("get", "list", "patch")}
REVIEWER: Rights = {"tokenreviews.authentication.k8s.io": ("create",)}
NONE: Rights = {}

ACCOUNTS: dict[str, tuple[Rights, Rights]] = {
    "fettle-operator": ({**OPERATOR, **LEADER}, OPERATOR),
    "fettle-api": ({**FACADE, **REVIEWER}, REVIEWER),
    "fettle-engine": (NONE, NONE),
    "fettle-test": (TEST, NONE),
    "fettle-uninstall": (UNINSTALL, UNINSTALL),
    "default": (NONE, NONE),
}
"""Account → its rights in the release's namespace, and in any other. `default` is the one of runs; the accounts of
`helm test` and `helm uninstall` exist while these run."""

BY_NAME = {
    ("fettle-operator", "leases.coordination.k8s.io", "fettle-operator"): ("get", "update"),
    ("fettle-api", "leases.coordination.k8s.io", "fettle-webhooks"): ("get", "update"),
    ("fettle-api", "leases.coordination.k8s.io", "fettle-submit-cluster"): ("get", "update"),
    ("fettle-api", "leases.coordination.k8s.io", "fettle-submit-milady"): ("get", "update"),
    ("fettle-api", "leases.coordination.k8s.io", "fettle-operator"): (),
    ("fettle-api", "configmaps", "fettle-serving"): ("get", "patch"),
    ("fettle-api", "configmaps", "kube-root-ca.crt"): (),
    ("fettle-api", "secrets", "fettle-api-key"): (),
    ("fettle-operator", "secrets", "fettle-api-key"): (),
    ("fettle-operator", "leases.coordination.k8s.io", "fettle-webhooks"): (),
    ("fettle-test", "trainingjobs.fettle.dev", "fettle-test"): ("get", "delete"),
    ("fettle-test", "adapters.fettle.dev", "fettle-test"): ("get", "delete"),
    ("fettle-test", "trainingjobs.fettle.dev", "another"): (),
}
"""What may be done to a resource of that name beyond what may be done to all; verbs of collections do not count."""


@pytest.fixture
async def installed(client: KubernetesClient, namespace: str, render_here: RenderHere) -> AsyncIterator[list[str]]:
    """The accounts and rights of a release, as an administrator makes them."""
    rights = [one for one in render_here("engine.enabled=true", "engine.model=m") if one["kind"] in RIGHTS_KINDS]
    for manifest in rights:
        await client.create(kind_of(manifest), manifest)
    yield [one["metadata"]["name"] for one in rights if one["kind"] == "ServiceAccount"]
    for manifest in rights:
        if kind_of(manifest) in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS):
            await client.delete(kind_of(manifest), manifest["metadata"]["name"], "")


async def test_each_account_may_do_what_the_table_says_and_nothing_else(
    client: KubernetesClient, namespace: str, installed: list[str]
) -> None:
    assert {*installed, "default"} == ACCOUNTS.keys()
    for account, (here, elsewhere) in ACCOUNTS.items():
        for place, expected in ((namespace, here), (ELSEWHERE, elsewhere)):
            found = await rights_of(client, namespace, account, place)
            assert found == expanded(expected), f"{account} in {place}"


async def test_single_resources_are_reached_by_their_names(
    client: KubernetesClient, namespace: str, installed: list[str]
) -> None:
    for (account, resource, name), expected in BY_NAME.items():
        general = ACCOUNTS[account][0].get(resource, ())
        verbs = [verb for verb in VERBS if verb not in ("list", "watch", "deletecollection")]
        answers = [await may(client, namespace, account, namespace, verb, resource, name) for verb in verbs]
        allowed = {verb for verb, answer in zip(verbs, answers, strict=True) if answer}
        assert allowed - set(general) == set(expected), f"{account}: {resource} {name}"


async def test_nobody_becomes_somebody_else(client: KubernetesClient, namespace: str, installed: list[str]) -> None:
    for account, (verb, resource) in product(
        ACCOUNTS,
        [
            ("impersonate", "users"),
            ("impersonate", "serviceaccounts"),
            ("escalate", "clusterroles.rbac.authorization.k8s.io"),
            ("bind", "clusterroles.rbac.authorization.k8s.io"),
            ("approve", "signers.certificates.k8s.io"),
            ("use", "podsecuritypolicies.policy"),
        ],
    ):
        assert not await may(client, namespace, account, namespace, verb, resource), f"{account}: {verb} {resource}"


async def test_an_operator_of_some_namespaces_has_no_right_elsewhere(
    client: KubernetesClient, namespace: str, render_here: RenderHere
) -> None:
    manifests = render_here(f'watchNamespaces=["{namespace}"]')
    cluster_wide = [one for one in manifests if one["kind"] in ("ClusterRole", "ClusterRoleBinding")]
    assert {one["metadata"]["name"] for one in cluster_wide} == {f"{namespace}-fettle-api"}
    for manifest in manifests:
        if manifest["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            await client.create(kind_of(manifest), manifest)
    assert await rights_of(client, namespace, "fettle-operator", namespace) == expanded({**OPERATOR, **LEADER})
    for account in ("fettle-operator", "fettle-uninstall"):
        assert await rights_of(client, namespace, account, ELSEWHERE) == set()


def expanded(rights: Rights) -> set[tuple[str, str]]:
    return {(resource, verb) for resource, verbs in rights.items() for verb in verbs}


async def rights_of(client: KubernetesClient, home: str, account: str, place: str) -> set[tuple[str, str]]:
    """Everything that is allowed, of all resources and verbs above."""
    asked = list(product(RESOURCES, VERBS))
    answers: list[bool] = []
    for batch in batches(asked, 40):
        answers += await asyncio.gather(*(may(client, home, account, place, verb, kind) for kind, verb in batch))
    return {pair for pair, is_allowed in zip(asked, answers, strict=True) if is_allowed}


def batches(items: list[tuple[str, str]], size: int) -> Iterable[list[tuple[str, str]]]:
    return (items[start : start + size] for start in range(0, len(items), size))


async def may(
    client: KubernetesClient, home: str, account: str, place: str, verb: str, resource: str, name: str = ""
) -> bool:
    """Whether the account, which lives in `home`, may do that in `place`."""
    path, _, subresource = resource.partition("/")
    plural, _, group = path.partition(".")
    attributes = {
        "namespace": place,
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "name": name,
    }
    spec = {
        "user": f"system:serviceaccount:{home}:{account}",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{home}", "system:authenticated"],
        "resourceAttributes": attributes,
    }
    review = {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind, "metadata": {}, "spec": spec}
    return bool((await client.create(REVIEWS, review))["status"]["allowed"])
