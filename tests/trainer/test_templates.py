"""The sandboxed renderer of previews and transformers write the same text."""

from pathlib import Path
from typing import Any

import pytest

from fettle_data.chat_template import load_chat_template
from fettle_data.templates import missing_tokens, template_text
from fettle_schema.dataset import TemplateSpec

CUSTOM = {"promptTemplate": "{system} {% x %} {prompt}\n", "chosenTemplate": "{chosen}"}
SPECS = [
    {"name": "tokenizer"},
    {"name": "chatml"},
    {"name": "llama3"},
    {"name": "mistral"},
    {"name": "qwen3"},
    {"name": "qwen3", "thinking": False},
    {"name": "custom", "custom": {"userPrefix": "'{{ 1 }}\\ é😀", "assistantSuffix": "\n"}},
    {"name": "custom", "custom": CUSTOM},
]
CONVERSATION = [
    {"role": "system", "content": "Be <brief>."},
    {"role": "user", "content": "Häuser?\n"},
    {"role": "assistant", "content": " get pods", "reasoning_content": "easy"},
    {"role": "user", "content": "again 😀"},
    {"role": "assistant", "content": "get nodes"},
]
TOOLS = [{"type": "function", "function": {"name": "é", "description": "<b>"}}]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize("values", SPECS, ids=lambda values: values["name"])
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize("turns", [5, 4, 2])
def test_preview_and_transformers_render_the_same(
    tiny_model: Path, tokenizer: Any, values: dict[str, Any], tools: list[dict[str, Any]] | None, turns: int
) -> None:
    own = load_chat_template(tiny_model)
    assert own is not None
    text = template_text(TemplateSpec.model_validate(values)) or own.text
    messages, asks = CONVERSATION[:turns], turns != 5
    expected = tokenizer.apply_chat_template(
        messages, chat_template=text, tools=tools, tokenize=False, add_generation_prompt=asks
    )
    assert own.with_text(text)(messages, tools=tools, add_generation_prompt=asks) == expected


@pytest.mark.parametrize(
    ("name", "missing"), [("tokenizer", 0), ("chatml", 0), ("qwen3", 0), ("mistral", 0), ("llama3", 3)]
)
def test_tokens_that_the_tokenizer_lacks_are_named(tokenizer: Any, name: str, missing: int) -> None:
    spec = TemplateSpec.model_validate({"name": name})
    found = missing_tokens(spec, lambda token: len(tokenizer.encode(token, add_special_tokens=False)))
    assert len(found) == missing


@pytest.mark.parametrize("name", ["llama3", "qwen3"])
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize("start", [0, 1])
def test_named_templates_equal_the_published_ones(
    tokenizer: Any, name: str, tools: list[dict[str, Any]] | None, start: int
) -> None:
    import trl

    published = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()
    ours = template_text(TemplateSpec.model_validate({"name": name}))
    for messages, asks in ((CONVERSATION[start:2], True), (CONVERSATION[start:3], False)):
        options = {"tools": tools, "tokenize": False, "add_generation_prompt": asks}
        assert tokenizer.apply_chat_template(messages, chat_template=ours, **options) == tokenizer.apply_chat_template(
            messages, chat_template=published, **options
        )
