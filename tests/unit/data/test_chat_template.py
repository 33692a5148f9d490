"""Chat templates are rendered in a sandbox, and found in model directories as transformers finds them."""

import json
from pathlib import Path
from typing import Any

import pytest

from fettle_data.chat_template import ChatTemplate, load_chat_template
from fettle_data.findings import DatasetError, FindingCode

HELLO = [{"role": "user", "content": "<b>é</b>"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\n", "user\n"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "<b>é</b>"}'),
        ("{{ messages[0] | tojson(indent=1) }}", '{\n "role": "user",\n "content": "<b>é</b>"\n}'),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("a{% generation %}{% set x = 1 %}{{ messages[0].role }}{% endgeneration %}{{ x }}", "auser"),
        ("{{ bos_token }}{{ eos_token }}{{ pad_token }}", "<s>"),
        ("{{ tools is none }}{{ add_generation_prompt }}", "TrueFalse"),
        ("{{ strftime_now('%Y') | length }}", "4"),
    ],
)
def test_text_is_rendered_as_transformers_does(text: str, expected: str) -> None:
    assert ChatTemplate(text, {"bos_token": "<s>"})(HELLO) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ messages[0].content + 1 }}", "str"),
        ("{{ nothing.at.all }}", "nothing"),
        ("{% for i in range(1000000) %}{% endfor %}", "Range too big"),
    ],
)
def test_template_that_refuses_is_a_dataset_error(text: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        ChatTemplate(text)(HELLO)
    assert caught.value.code == FindingCode.TEMPLATE_REFUSED


def test_template_that_is_no_jinja_is_a_dataset_error() -> None:
    with pytest.raises(DatasetError, match="not valid Jinja") as caught:
        ChatTemplate("{% if %}")(HELLO)
    assert caught.value.code == FindingCode.WRONG_TEMPLATE


LISTED = [{"name": "default", "template": "listed"}, {"name": "tool_use", "template": "with tools"}]


@pytest.mark.parametrize(
    ("files", "expected", "with_tools"),
    [
        ({"chat_template.jinja": "file", "tokenizer_config.json": {"chat_template": "config"}}, "file", "file"),
        ({"tokenizer_config.json": {"chat_template": "config"}}, "config", "config"),
        ({"tokenizer_config.json": {"chat_template": LISTED}}, "listed", "with tools"),
        (
            {"chat_template.jinja": "file", "additional_chat_templates/tool_use.jinja": "with tools"},
            "file",
            "with tools",
        ),
        (
            {
                "chat_template.jinja": "{{ bos_token }}{{ eos_token }}{{ unk_token }}",
                "special_tokens_map.json": {"bos_token": "[old]", "unk_token": "[unk]"},
                "tokenizer_config.json": {"bos_token": {"content": "[bos]"}, "eos_token": "[eos]", "pad_token": None},
            },
            "[bos][eos][unk]",
            "[bos][eos][unk]",
        ),
    ],
)
def test_template_of_a_model_is_found(tmp_path: Path, files: dict[str, Any], expected: str, with_tools: str) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    template = load_chat_template(tmp_path)
    assert template is not None
    assert template(HELLO) == expected
    assert template(HELLO, tools=[]) == with_tools


def test_model_without_a_template_has_none(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    assert load_chat_template(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "cannot be read"),
        (b'{"chat_template": [{"name": "rag", "template": "x"}]}', "none of them is the default"),
    ],
)
def test_unreadable_template_of_a_model_is_a_dataset_error(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(DatasetError, match=words):
        load_chat_template(tmp_path)
