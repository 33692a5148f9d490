import pytest

from fettle_api.ollama.templates import template_of_job, template_of_tokenizer
from fettle_schema.dataset import CustomTemplate, TemplateSpec


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("chatml", "<|im_start|>"),
        ("qwen3", "<|im_start|>"),
        ("llama3", "<|start_header_id|>"),
        ("mistral", "[INST]"),
    ],
)
def test_a_template_by_name(name: str, mark: str) -> None:
    fields = template_of_job(TemplateSpec.model_validate({"name": name}))
    assert mark in fields["template"]
    assert mark in fields["parameters"]["stop"]
    assert fields["template"].count("{{ .Prompt }}") == fields["template"].count("{{ .Response }}") == 1


@pytest.mark.parametrize("template", [None, TemplateSpec()])
def test_the_tokenizers_own_has_no_name(template: TemplateSpec | None) -> None:
    assert template_of_job(template) == {}


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("{% for m in messages %}<|im_start|>{{ m.role }}", "<|im_end|>"),
        ("<|start_header_id|>", "<|eot_id|>"),
        ("<start_of_turn>", "<end_of_turn>"),
        ("<|user|> x <|end|>", "<|end|>"),
        ("<|user|> x </s>", "</s>"),
        ("[INST] x [/INST]", "[/INST]"),
    ],
)
def test_a_template_by_its_marks(text: str, stop: str) -> None:
    assert stop in template_of_tokenizer(text)["parameters"]["stop"]


@pytest.mark.parametrize("text", [None, "", "{{ messages }}"])
def test_an_unknown_template_is_left_to_ollama(text: str | None) -> None:
    assert template_of_tokenizer(text) == {}


def test_a_custom_template_of_pieces() -> None:
    pieces = CustomTemplate(user_prefix="Q: ", user_suffix="\n", assistant_prefix="A: ", assistant_suffix="<end>")
    assert template_of_job(TemplateSpec(name="custom", custom=pieces)) == {
        "template": "{{ if .System }}{{ .System }}{{ end }}Q: {{ .Prompt }}\nA: {{ .Response }}<end>",
        "parameters": {"stop": ["<end>", "A:", "Q:"]},
    }


@pytest.mark.parametrize(
    "pieces",
    [CustomTemplate(), CustomTemplate(user_prefix="{{ .System }}"), CustomTemplate(prompt_template="{prompt}")],
)
def test_pieces_that_make_no_template(pieces: CustomTemplate) -> None:
    assert template_of_job(TemplateSpec(name="custom", custom=pieces)) == {}
