"""Chat templates in Ollama's form. Pure.

An import of safetensors ignores the template that the tokenizer brings, so it is given with the model: by the name
that the job trained with, else by the marks that the tokenizer's own template holds.
"""

from collections.abc import Mapping
from typing import Any

from fettle_schema.dataset import CustomTemplate, TemplateSpec

_CHATML = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    "{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
)
_LLAMA3 = (
    "{{ if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}"
    "{{ if .Prompt }}<|start_header_id|>user<|end_header_id|>\n\n{{ .Prompt }}<|eot_id|>{{ end }}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{{ .Response }}<|eot_id|>"
)
_MISTRAL = "[INST] {{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }} [/INST] {{ .Response }}</s>"
_GEMMA = (
    "<start_of_turn>user\n{{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}<end_of_turn>\n"
    "<start_of_turn>model\n{{ .Response }}<end_of_turn>\n"
)
_PHI3 = (
    "{{ if .System }}<|system|>\n{{ .System }}<|end|>\n{{ end }}"
    "{{ if .Prompt }}<|user|>\n{{ .Prompt }}<|end|>\n{{ end }}<|assistant|>\n{{ .Response }}<|end|>\n"
)
_ZEPHYR = (
    "{{ if .System }}<|system|>\n{{ .System }}</s>\n{{ end }}"
    "{{ if .Prompt }}<|user|>\n{{ .Prompt }}</s>\n{{ end }}<|assistant|>\n{{ .Response }}</s>\n"
)

_BY_NAME: dict[str, tuple[str, list[str]]] = {
    "chatml": (_CHATML, ["<|im_start|>", "<|im_end|>"]),
    "qwen3": (_CHATML, ["<|im_start|>", "<|im_end|>"]),
    "llama3": (_LLAMA3, ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
    "mistral": (_MISTRAL, ["[INST]", "[/INST]", "</s>"]),
}
_BY_MARK: tuple[tuple[str, tuple[str, list[str]]], ...] = (
    ("<|im_start|>", _BY_NAME["chatml"]),
    ("<|start_header_id|>", _BY_NAME["llama3"]),
    ("<start_of_turn>", (_GEMMA, ["<start_of_turn>", "<end_of_turn>"])),
    ("<|end|>", (_PHI3, ["<|end|>", "<|user|>", "<|assistant|>"])),
    ("<|user|>", (_ZEPHYR, ["<|system|>", "<|user|>", "<|assistant|>", "</s>"])),
    ("[INST]", _BY_NAME["mistral"]),
)


def template_of_job(template: TemplateSpec | None) -> dict[str, Any]:
    """`template` and `parameters.stop` for a template that the job trained with by name; empty for the tokenizer's."""
    if template is None:
        return {}
    if template.name in _BY_NAME:
        return _fields(*_BY_NAME[template.name])
    return _custom(template.custom) if template.custom is not None else {}


def template_of_tokenizer(chat_template: str | None) -> dict[str, Any]:
    """The same by the marks in the tokenizer's own template; empty for one that has none of those known here."""
    found = next((known for mark, known in _BY_MARK if mark in (chat_template or "")), None)
    return _fields(*found) if found else {}


def _custom(pieces: CustomTemplate) -> dict[str, Any]:
    values: Mapping[str, str] = {name: value or "" for name, value in pieces.model_dump().items()}
    if not values["user_prefix"] + values["assistant_prefix"] or any("{{" in value for value in values.values()):
        return {}
    text = (
        f"{{{{ if .System }}}}{values['system_prefix']}{{{{ .System }}}}{values['system_suffix']}{{{{ end }}}}"
        f"{values['user_prefix']}{{{{ .Prompt }}}}{values['user_suffix']}"
        f"{values['assistant_prefix']}{{{{ .Response }}}}{values['assistant_suffix']}"
    )
    marks = {values[name].strip() for name in ("user_prefix", "assistant_prefix", "assistant_suffix")}
    return _fields(text, sorted(mark for mark in marks if mark))


def _fields(template: str, stop: list[str]) -> dict[str, Any]:
    return {"template": template, **({"parameters": {"stop": list(stop)}} if stop else {})}
