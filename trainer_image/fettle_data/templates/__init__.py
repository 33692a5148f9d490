"""Named chat templates: one file each, as Jinja text for a tokenizer. Nothing is rendered here.

What a template does with a system message, with several turns and with tools stands at the top of its file. The
template `tokenizer` is the model's own and not among them.
"""

from collections.abc import Callable
from typing import Literal, get_args

from fettle_data.findings import DatasetError, Finding, FindingCode
from fettle_data.templates import chatml, custom, llama3, mistral, qwen3
from fettle_data.templates.template import Template
from fettle_schema.dataset import TemplateSpec

Answer = Literal["chosen", "rejected"]
_REASONING_KEY = "reasoning_content"


def template_text(spec: TemplateSpec, answer: Answer = "chosen") -> str | None:
    """Jinja text to give to a tokenizer; None for `tokenizer`, which keeps its own.

    `answer` matters only to a custom template with a `rejectedTemplate`: that one writes the last answer of a
    rejected conversation. Raises DatasetError if custom pieces make no template.
    """
    template = _find(spec, answer)
    return None if template is None else template.text


def check_template(spec: TemplateSpec) -> None:
    """Raises DatasetError if custom pieces make no template."""
    for answer in get_args(Answer):
        template_text(spec, answer)


def special_tokens(spec: TemplateSpec) -> tuple[str, ...]:
    """Tokens that the template writes out; empty for `tokenizer`."""
    template = _find(spec)
    return () if template is None else template.special_tokens


def end_of_turn(spec: TemplateSpec) -> str | None:
    """The token that ends a turn of the assistant, at which generation must stop; None for the tokenizer's own."""
    template = _find(spec)
    return None if template is None else template.end_of_turn


def missing_tokens(spec: TemplateSpec, token_count: Callable[[str], int]) -> list[Finding]:
    """A finding for each special token that is not one id; `token_count` gives the number of ids of a text."""
    field = "spec.dataset.template"
    return [
        Finding(None, None, FindingCode.MISSING_TOKEN, _missing_message(spec, token), field)
        for token in special_tokens(spec)
        if token_count(token) != 1
    ]


def keeps_reasoning(spec: TemplateSpec, own_template: str | None = None) -> bool:
    """Whether `reasoning_content` of a message is written; `own_template` is the model's own text, where known."""
    if spec.name == "tokenizer":
        return _REASONING_KEY in (own_template or "")
    return spec.name == "qwen3" and spec.thinking is not False


def _find(spec: TemplateSpec, answer: Answer = "chosen") -> Template | None:
    match spec.name:
        case "tokenizer":
            return None
        case "chatml":
            return chatml.TEMPLATE
        case "llama3":
            return llama3.TEMPLATE
        case "mistral":
            return mistral.TEMPLATE
        case "qwen3":
            return qwen3.template(thinking=spec.thinking is not False)
        case "custom":
            if spec.custom is None:
                message = "spec.dataset.template.custom: it is missing, and name is 'custom'"
                raise DatasetError(FindingCode.WRONG_TEMPLATE, message)
            return custom.template(spec.custom, is_rejected=answer == "rejected")


def _missing_message(spec: TemplateSpec, token: str) -> str:
    message = f"the template {spec.name!r} writes {token!r}, which is not one token of this model's tokenizer"
    return f"{message}; it may not learn to end its turns" if token == end_of_turn(spec) else message
