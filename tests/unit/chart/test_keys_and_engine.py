"""Keys of the installation, and the serving engine that one of them opens."""

import base64
from pathlib import Path

import pytest

from fettle_api.webhooks.signing import read_key
from fettle_trainer.serve.__main__ import parse
from tests.unit.chart.conftest import Render
from tests.unit.chart.manifests import container, deployment, environment, of_kind, pod, secret_of

pytestmark = pytest.mark.cluster

ENGINE = ("engine.enabled=true", "engine.model=models/base")


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
    annotations = deployment(render(*ENGINE), "engine")["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"fettle.dev/max-lora-rank": str(settings.max_lora_rank)}
    assert (settings.model, settings.port, settings.max_length) == ("models/base", 8000, 64)
    assert engine["workingDir"] == "/workspace", "so that models/… is found, and is the base model's name"
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in engine["volumeMounts"]}
    assert settings.admin_key_file == mounts["engine-key"] / "engine-key"
