"""How to reach every kind that the chart holds."""

from fettle_client.protocol import CLAIMS, CONFIG_MAPS, JOBS, PODS, SECRETS, SERVICES, ResourceKind
from tests.support.api_server import CRDS

_RBAC, _NETWORK, _MONITORING = "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1", "monitoring.coreos.com/v1"

SERVICE_ACCOUNTS = ResourceKind("v1", "ServiceAccount", "serviceaccounts")
CLUSTER_ROLES = ResourceKind(_RBAC, "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = ResourceKind(_RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
KINDS = {
    kind.kind: kind
    for kind in (
        *(
            CLAIMS,
            CONFIG_MAPS,
            JOBS,
            PODS,
            SECRETS,
            SERVICES,
            SERVICE_ACCOUNTS,
            CLUSTER_ROLES,
            CLUSTER_ROLE_BINDINGS,
            CRDS,
        ),
        ResourceKind(_RBAC, "Role", "roles"),
        ResourceKind(_RBAC, "RoleBinding", "rolebindings"),
        ResourceKind("apps/v1", "Deployment", "deployments"),
        ResourceKind(_NETWORK, "NetworkPolicy", "networkpolicies"),
        ResourceKind(_NETWORK, "Ingress", "ingresses"),
        ResourceKind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        ResourceKind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False),
        ResourceKind(_MONITORING, "ServiceMonitor", "servicemonitors"),
        ResourceKind(_MONITORING, "PrometheusRule", "prometheusrules"),
    )
}
