import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_client.protocol import TRAINING_JOBS
from tests.support.facade import Facade, running_facade
from tests.support.finished_jobs import finished_job, write, write_adapter, write_model
from tests.support.ollama_stand_in import OllamaStandIn, ollama_stand_in
from tests.support.polling import eventually

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}"


@pytest.fixture
async def facade(tmp_path: Path) -> AsyncIterator[Facade]:
    root = tmp_path / "workspace"
    root.mkdir()
    async with running_facade(root) as running:
        yield running


@pytest.fixture
async def ollama() -> AsyncIterator[OllamaStandIn]:
    async with ollama_stand_in() as running:
        yield running


async def import_model(facade: Facade, ollama: OllamaStandIn, job: str = "mine", **body: Any) -> httpx.Response:
    async with facade.caller("milady") as caller:
        wanted = {"ollamaUrl": ollama.url, "modelName": "m", **body}
        return await caller.post(f"/api/training/models/model-{job}/import-ollama", json=wanted)


async def test_an_adapter_on_a_base_that_ollama_has(facade: Facade, ollama: OllamaStandIn) -> None:
    ollama.add_base("llama3.2:3b", "llama")
    write_adapter(facade, await finished_job(facade, "mine"))
    answer = await import_model(facade, ollama, baseModel="llama3.2:3b")
    assert answer.status_code == 200, answer.text
    model = answer.json()["model"]
    assert (model["id"], model["ollamaName"], model["ollamaModel"]) == ("model-mine", "m", "m")
    assert isinstance(model["importedAt"], int)
    made = ollama.models["m"]
    assert made.adapters.keys() == {"adapter_config.json", "adapter_model.safetensors"}
    assert (made.files, made.template) == ({}, None)
    note = facade.client.item(TRAINING_JOBS, "mine") or {}
    assert json.loads(note["metadata"]["annotations"]["fettle.dev/ollama"])["name"] == "m"


async def test_an_adapter_with_the_files_of_its_base(facade: Facade, ollama: OllamaStandIn) -> None:
    write_adapter(facade, await finished_job(facade, "mine"))
    write_model(facade, "models/base", template=CHATML)
    assert (await import_model(facade, ollama)).status_code == 200
    made = ollama.models["m"]
    assert made.files.keys() == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert made.adapters["adapter_model.safetensors"].startswith(b"weights of adapters/mine/")
    assert "<|im_start|>" in (made.template or "")
    assert "<|im_end|>" in made.parameters["stop"]


async def test_the_files_of_the_base_where_ollama_cannot_have_it(facade: Facade, ollama: OllamaStandIn) -> None:
    write_adapter(facade, await finished_job(facade, "mine"))
    write_model(facade, "models/base")
    assert (await import_model(facade, ollama, baseModel="nobody:has-it")).status_code == 200
    assert "model.safetensors" in ollama.models["m"].files


async def test_a_template_by_name_wins(facade: Facade, ollama: OllamaStandIn) -> None:
    dataset = {"source": {"workspace": {"path": "datasets/d"}}, "template": {"name": "mistral"}}
    ollama.add_base("base", "llama")
    write_adapter(facade, await finished_job(facade, "mine", spec={"dataset": dataset}))
    assert (await import_model(facade, ollama, baseModel="base")).status_code == 200
    assert "[INST]" in (ollama.models["m"].template or "")


async def test_a_whole_model(facade: Facade, ollama: OllamaStandIn) -> None:
    path = await finished_job(facade, "mine", kind="model", spec={"adapter": {"type": "none"}})
    write_model(facade, path, "Qwen2ForCausalLM")
    assert (await import_model(facade, ollama)).status_code == 200
    assert (ollama.models["m"].architecture, ollama.models["m"].adapters) == ("qwen2", {})


async def test_what_is_there_is_not_sent_again(facade: Facade, ollama: OllamaStandIn) -> None:
    path = await finished_job(facade, "mine", kind="model", spec={"adapter": {"type": "none"}})
    write_model(facade, path)
    for _ in range(2):
        assert (await import_model(facade, ollama)).status_code == 200
    assert ollama.requests.count("POST /api/blobs/") == 3  # two of the four files are equal
    assert ollama.requests.count("POST /api/create") == 2


async def merged_job(facade: Facade, of: str) -> None:
    spec = {"method": "merge", "startFrom": {"trainingJob": of}, "dataset": None}
    write_model(facade, await finished_job(facade, "merged", kind="model", spec=spec), "Qwen2ForCausalLM")


async def test_the_merged_model_where_the_adapter_is_not_converted(facade: Facade, ollama: OllamaStandIn) -> None:
    write_adapter(facade, await finished_job(facade, "mine"))
    write_model(facade, "models/base", "Qwen2ForCausalLM")
    await merged_job(facade, "mine")
    assert (await import_model(facade, ollama)).status_code == 200
    made = ollama.models["m"]
    assert (made.architecture, made.adapters) == ("qwen2", {})
    assert made.files["model.safetensors"].startswith(b"weights of models/merged/")


async def test_the_merged_model_that_the_job_made_itself(facade: Facade, ollama: OllamaStandIn) -> None:
    write_adapter(facade, await finished_job(facade, "mine"), use_dora=True)
    path = facade.job_path("mine").relative_to(facade.root)
    merged = {"kind": "model", "path": "models/mine/0123456789ab", "digest": "sha256:0"}
    write(facade, f"{path}/attempts/1/result.json", {"exitCode": 0, "mergedOutput": merged})
    write_model(facade, "models/mine/0123456789ab")
    assert (await import_model(facade, ollama, baseModel="base")).status_code == 200
    assert ollama.models["m"].adapters == {}


async def test_a_server_that_converts_no_adapters_gets_the_merged_model(facade: Facade, ollama: OllamaStandIn) -> None:
    ollama.add_base("base", "llama")
    ollama.converts_adapters = False
    write_adapter(facade, await finished_job(facade, "mine"))
    await merged_job(facade, "mine")
    assert (await import_model(facade, ollama, baseModel="base")).status_code == 200
    assert ollama.models["m"].architecture == "qwen2"


@pytest.mark.parametrize(
    ("architecture", "config", "words"),
    [
        ("qwen2", {}, "converts adapters of Llama and Gemma 2 only, and this one is for qwen2"),
        ("llama", {"use_dora": True}, "does not convert adapters with use_dora"),
        ("llama", {"r": None}, "no r and lora_alpha"),
        ("llama", {"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ("llama", {"bias": "all"}, "bias"),
    ],
)
async def test_without_a_merged_model_one_is_begun(
    facade: Facade, ollama: OllamaStandIn, architecture: str, config: dict[str, Any], words: str
) -> None:
    ollama.add_base("base", architecture)
    write_adapter(facade, await finished_job(facade, "mine"), **config)
    for _ in range(2):
        answer = await import_model(facade, ollama, baseModel="base")
        assert answer.status_code == 409
        assert words in answer.json()["error"]
        assert "it is being merged by training job 'merge-" in answer.json()["error"]
    (merge,) = [job for job in facade.client.items(TRAINING_JOBS) if job["spec"]["method"] == "merge"]
    assert merge["spec"]["startFrom"] == {"trainingJob": "mine"}
    name = merge["metadata"]["name"]
    await facade.set_status(name, phase="Failed", failure={"code": "DiskFull", "message": "no room"})
    answer = await import_model(facade, ollama, baseModel="base")
    assert answer.status_code == 409
    assert f"could not be merged by training job '{name}': no room" in answer.json()["error"]


async def test_an_adapter_whose_base_nobody_has(facade: Facade, ollama: OllamaStandIn) -> None:
    write_adapter(facade, await finished_job(facade, "mine"))
    answer = await import_model(facade, ollama)
    assert answer.status_code == 409
    assert "baseModel is needed" in answer.json()["error"]


async def test_a_model_that_ollama_does_not_know(facade: Facade, ollama: OllamaStandIn) -> None:
    path = await finished_job(facade, "mine", kind="model", spec={"adapter": {"type": "none"}})
    write_model(facade, path, "MambaForCausalLM")
    answer = await import_model(facade, ollama)
    assert answer.status_code == 502
    assert answer.json()["error"] == 'Ollama refuses: unsupported architecture "MambaForCausalLM"'
    assert "fettle.dev/ollama" not in str(facade.client.item(TRAINING_JOBS, "mine"))


async def test_files_that_are_gone(facade: Facade, ollama: OllamaStandIn) -> None:
    await finished_job(facade, "mine", kind="model", spec={"adapter": {"type": "none"}})
    assert (await import_model(facade, ollama)).status_code == 404
    await finished_job(facade, "other")
    assert (await import_model(facade, ollama, "other", baseModel="base")).status_code == 404
    assert ollama.requests == []


async def test_links_that_a_trainer_planted_are_not_sent(facade: Facade, ollama: OllamaStandIn, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("the secret")
    path = await finished_job(facade, "mine", kind="model", spec={"adapter": {"type": "none"}})
    write_model(facade, path)
    (facade.root / path / "special_tokens_map.json").symlink_to(secret)
    assert (await import_model(facade, ollama)).status_code == 200
    assert b"the secret" not in ollama.blobs.values()


async def test_what_lies_elsewhere_is_not_sent(facade: Facade, ollama: OllamaStandIn) -> None:
    output = {"kind": "model", "path": "jobs/other", "digest": "sha256:0"}
    await finished_job(facade, "mine", kind="model", spec={"adapter": {"type": "none"}}, output=output)
    write_model(facade, "jobs/other")
    assert (await import_model(facade, ollama)).status_code == 409
    assert ollama.requests == []


async def test_an_import_goes_on_when_its_caller_leaves(facade: Facade, ollama: OllamaStandIn) -> None:
    ollama.hold = asyncio.Event()
    path = await finished_job(facade, "mine", kind="model", spec={"adapter": {"type": "none"}})
    write_model(facade, path)
    first = asyncio.create_task(import_model(facade, ollama))

    async def is_waiting() -> bool:
        return "POST /api/create" in ollama.requests

    await eventually(is_waiting, "the import has come to `create`", 10, 0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(import_model(facade, ollama))
    await asyncio.sleep(0)
    ollama.hold.set()
    assert (await second).status_code == 200
    assert ollama.requests.count("POST /api/create") == 1


@pytest.mark.parametrize("url", ["http://10.0.0.1", "http://127.0.0.1.evil.com", "http://169.254.169.254", "x"])
async def test_urls_of_others_are_refused(facade: Facade, ollama: OllamaStandIn, url: str) -> None:
    write_adapter(facade, await finished_job(facade, "mine"))
    answer = await import_model(facade, ollama, ollamaUrl=url)
    assert answer.status_code == 400
    assert "ollamaUrl" in answer.json()["error"]
