from pathlib import Path

import pytest
from kubernetes.aio.config import incluster_config

from fettle_client.connection import NoClusterError, load_configuration


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a kubelet gives to a pod with a ServiceAccount; its folder."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    for name, constant in [("token", "SERVICE_TOKEN_FILENAME"), ("ca.crt", "SERVICE_CERT_FILENAME")]:
        (tmp_path / name).write_text("first")
        monkeypatch.setattr(incluster_config, constant, str(tmp_path / name))
    return tmp_path


async def test_a_pod_finds_its_api_server_and_token(pod: Path) -> None:
    configuration = await load_configuration(None, None)
    assert configuration.host == "https://10.0.0.1:443"
    assert await configuration.get_api_key_with_prefix("BearerToken") == "bearer first"


async def test_loading_again_reads_a_rotated_token(pod: Path) -> None:
    await load_configuration(None, None)
    token = pod / "token"
    token.write_text("second")
    assert await (await load_configuration(None, None)).get_api_key_with_prefix("BearerToken") == "bearer second"


async def test_a_kubeconfig_goes_before_the_service_account(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig = pod / "kubeconfig"
    kubeconfig.write_text(
        "current-context: c\n"
        "contexts: [{name: c, context: {cluster: c}}, {name: d, context: {cluster: d}}]\n"
        "clusters: [{name: c, cluster: {server: 'http://one'}}, {name: d, cluster: {server: 'http://two'}}]\n"
    )
    assert (await load_configuration(str(kubeconfig), None)).host == "http://one"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert (await load_configuration(None, None)).host == "http://one"
    assert (await load_configuration(None, "d")).host == "http://two"


async def test_without_any_of_them_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(NoClusterError, match="name a kubeconfig, set KUBECONFIG, or run in a pod"):
        await load_configuration(None, None)


async def test_the_environment_is_searched_for_proxies_once_and_not_at_each_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost")  # no proxy by itself
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "current-context: c\n"
        "contexts: [{name: c, context: {cluster: c}}]\n"
        "clusters: [{name: c, cluster: {server: 'http://one'}}]\n"
    )
    assert (await load_configuration(str(kubeconfig), None)).client_session_kwargs == {"trust_env": False}
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert (await load_configuration(str(kubeconfig), None)).client_session_kwargs == {"trust_env": True}
