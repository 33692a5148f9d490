import json
from pathlib import Path
from typing import Any

import pytest

from fettle_api.errors import BodyError, FileMissingError
from fettle_api.files.base_models import BaseModels
from fettle_api.files.workspace import Workspace

CONFIG = {"model_type": "llama", "vocab_size": 128}
TOKENIZER = {
    "model_max_length": 512,
    "chat_template": "{{ messages }}",
    "eos_token": {"content": "</s>"},
    "bos_token": "<s>",
    "pad_token": None,
}


def model(root: Path, path: str = "models/tiny", **files: Any) -> Path:
    directory = root / path
    directory.mkdir(parents=True)
    given = {"config": CONFIG, "tokenizer_config": TOKENIZER, **files}
    for name, content in given.items():
        if content is not None:
            (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


def cached(root: Path, model_id: str = "acme/small", revision: str = "abc") -> Path:
    """As the hub's library keeps it: links to blobs."""
    top = root / "huggingface/hub" / f"models--{model_id.replace('/', '--')}"
    snapshot = top / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (top / "blobs").mkdir(exist_ok=True)
    for number, (name, content) in enumerate((("config", CONFIG), ("tokenizer_config", TOKENIZER))):
        digest = f"{number}{revision}".encode().hex().ljust(40, "0")
        (top / "blobs" / digest).write_text(json.dumps(content))
        (snapshot / f"{name}.json").symlink_to(f"../../blobs/{digest}")
    return snapshot


def models(root: Path, **aliases: str) -> BaseModels:
    return BaseModels(Workspace(root), aliases)


@pytest.mark.parametrize("name", ["tiny", "models/tiny", "alias"])
async def test_a_model_of_the_workspace(tmp_path: Path, name: str) -> None:
    model(tmp_path)
    found = models(tmp_path, alias="models/tiny")
    assert await found.is_present(name)
    assert await found.config(name) == CONFIG
    tokenizer = await found.tokenizer(name)
    assert (tokenizer.vocabulary_size, tokenizer.max_length) == (128, 512)
    assert tokenizer.chat_template == "{{ messages }}"
    assert tokenizer.special_tokens == {"eos_token": "</s>", "bos_token": "<s>"}


async def test_a_model_of_the_hubs_cache(tmp_path: Path) -> None:
    cached(tmp_path)
    found = models(tmp_path)
    assert await found.is_present("acme/small")
    assert await found.config("acme/small") == CONFIG
    assert (await found.tokenizer("acme/small")).vocabulary_size == 128


async def test_other_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"vocab_size": 7}')
    directory = model(tmp_path, config=None)
    (directory / "config.json").symlink_to(secret)
    snapshot = cached(tmp_path)
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(secret)
    found = models(tmp_path)
    assert await found.config("tiny") is None
    assert await found.config("acme/small") is None


async def test_what_is_known_of_a_public_model(tmp_path: Path) -> None:
    known = await models(tmp_path).config("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert known is not None
    assert known["hidden_size"] == 576
    assert not await models(tmp_path).is_present("HuggingFaceTB/SmolLM2-135M-Instruct")


@pytest.mark.parametrize("name", ["nobody/knows", "..", "models/../x", "", "a b"])
async def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    found = models(tmp_path)
    assert await found.config(name) is None
    assert not await found.is_present(name)
    with pytest.raises(FileMissingError):
        await found.tokenizer(name)


async def test_a_model_without_a_tokenizer(tmp_path: Path) -> None:
    model(tmp_path, tokenizer_config=None)
    with pytest.raises(FileMissingError, match="no tokenizer"):
        await models(tmp_path).tokenizer("tiny")


async def test_a_broken_tokenizer(tmp_path: Path) -> None:
    model(tmp_path, tokenizer_config=[1])
    with pytest.raises(BodyError):
        await models(tmp_path).tokenizer("tiny")


async def test_the_vocabulary_is_counted_where_the_model_does_not_say(tmp_path: Path) -> None:
    model(tmp_path, config=None, tokenizer={"model": {"vocab": {"a": 0, "b": 1}}})
    assert (await models(tmp_path).tokenizer("tiny")).vocabulary_size == 2


async def test_a_template_in_a_file_of_its_own_wins(tmp_path: Path) -> None:
    (model(tmp_path) / "chat_template.jinja").write_text("of the file")
    assert (await models(tmp_path).tokenizer("tiny")).chat_template == "of the file"


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ([{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}], "b"),
        ([{"name": "tool_use", "template": "a"}], None),
        (7, None),
        (None, None),
    ],
)
async def test_one_of_several_templates(tmp_path: Path, template: object, found: str | None) -> None:
    model(tmp_path, tokenizer_config={**TOKENIZER, "chat_template": template})
    assert (await models(tmp_path).tokenizer("tiny")).chat_template == found


async def test_all_that_have_a_tokenizer(tmp_path: Path) -> None:
    model(tmp_path)
    model(tmp_path, "models/acme/large")
    model(tmp_path, "models/bare", tokenizer_config=None)
    cached(tmp_path)
    found = models(tmp_path, first="models/tiny", missing="models/nothing")
    assert await found.with_tokenizer() == ["first", "acme/large", "tiny", "acme/small"]
