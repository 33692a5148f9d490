import pytest

from fettle_client.paths import collection_path, resource_path
from fettle_client.protocol import CONFIG_MAPS, TRAINING_JOBS, InvalidError, ResourceKind

NODES = ResourceKind("v1", "Node", "nodes", namespaced=False)


def test_paths_follow_group_namespace_and_subresource() -> None:
    assert collection_path(CONFIG_MAPS, None) == "/api/v1/configmaps"
    assert collection_path(TRAINING_JOBS, "a") == "/apis/fettle.dev/v1alpha1/namespaces/a/trainingjobs"
    assert collection_path(NODES, "ignored") == "/api/v1/nodes"
    assert resource_path(CONFIG_MAPS, "n", "a", "status") == "/api/v1/namespaces/a/configmaps/n/status"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_cannot_reach_another_path(name: str) -> None:
    with pytest.raises(InvalidError, match=r"metadata\.name"):
        resource_path(CONFIG_MAPS, name, "default")
    with pytest.raises(InvalidError, match=r"metadata\.namespace"):
        collection_path(CONFIG_MAPS, name)


def test_special_characters_are_quoted() -> None:
    assert resource_path(NODES, "a?b#c%2e", "") == "/api/v1/nodes/a%3Fb%23c%252e"
