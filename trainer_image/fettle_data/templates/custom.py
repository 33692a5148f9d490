"""`custom`: a template made of the user's pieces, in one of two spellings.

Prefixes and suffixes: each message stands between those of its role, in any order of roles; an answer is asked for by
the assistant's prefix. Whole templates: each turn of the user is `promptTemplate` with `{prompt}`, and with the system
message of the first turn as `{system}` (empty without one and in later turns); each answer is `chosenTemplate` with
`{chosen}`, and the last one of a rejected conversation `rejectedTemplate` with `{rejected}`. There user and assistant
take turns, after one system message at most. In both spellings a tool's message is refused.

A turn of the assistant must end with a token, or a model never learns to stop: if the piece after the answer does not
end with one in angle brackets, such as `<|im_end|>` or `</s>`, the tokenizer's end token is written after it.

Pieces are data: they are written as string literals, in which no character means anything to Jinja.
"""

import re

from fettle_data.findings import DatasetError, FindingCode
from fettle_data.templates.template import Template
from fettle_schema.dataset import CustomTemplate

_FIELD = "spec.dataset.template.custom"
_TOKEN = re.compile(r"<\|[^\s<>|]+\|>|</?[A-Za-z_]+>")
_SPECIAL = frozenset("'\\{}%#")


def template(pieces: CustomTemplate, *, is_rejected: bool) -> Template:
    """Raises DatasetError if the pieces make no template."""
    affixes = {name: value for name, value in pieces if not name.endswith("_template") and value is not None}
    wholes = {name: value for name, value in pieces if name.endswith("_template") and value is not None}
    if affixes and wholes:
        raise _error(_FIELD, "prefixes and suffixes cannot be mixed with whole templates; use one of the two")
    if affixes:
        return _from_affixes(affixes)
    return _from_wholes(wholes, is_rejected=is_rejected)


def _from_affixes(pieces: dict[str, str]) -> Template:
    def literal(name: str) -> str:
        return _literal(pieces.get(name, ""))

    suffix = pieces.get("assistant_suffix", "")
    roles = "".join(
        f"{{%- {'elif' if index else 'if'} message['role'] == '{role}' %}}"
        f"{{{{- {literal(f'{role}_prefix')} + message['content'] + {literal(f'{role}_suffix')} }}}}"
        for index, role in enumerate(("system", "user", "assistant"))
    )
    text = (
        "{%- for message in messages %}"
        f"{roles}{{%- else %}}{{{{- raise_exception({_NO_TOOLS}) }}}}{{%- endif %}}"
        f"{{%- if message['role'] == 'assistant' %}}{_end(suffix)}{{%- endif %}}"
        "{%- endfor %}"
        f"{{%- if add_generation_prompt %}}{{{{- {literal('assistant_prefix')} }}}}{{%- endif %}}"
    )
    return Template(text, _tokens(*pieces.values()), _end_token(suffix))


def _from_wholes(pieces: dict[str, str], *, is_rejected: bool) -> Template:
    if "prompt_template" not in pieces:
        raise _error(f"{_FIELD}.promptTemplate", "it is missing; {prompt} in it stands for the user's message")
    prompt = pieces["prompt_template"]
    chosen = pieces.get("chosen_template", "{chosen}")
    rejected = pieces.get("rejected_template", chosen.replace("{chosen}", "{rejected}"))
    for field, text, name in (
        ("promptTemplate", prompt, "{prompt}"),
        ("chosenTemplate", chosen, "{chosen}"),
        ("rejectedTemplate", rejected, "{rejected}"),
    ):
        if name not in text:
            raise _error(f"{_FIELD}.{field}", f"there is no {name} in it, which stands for the text of the example")
    refusal = (
        "" if "{system}" in prompt else f"{{%- if system %}}{{{{- raise_exception({_NO_SYSTEM}) }}}}{{%- endif %}}"
    )
    answer = _answer(chosen, "{chosen}")
    if is_rejected:
        answer = f"{{%- if loop.last %}}{_answer(rejected, '{rejected}')}{{%- else %}}{answer}{{%- endif %}}"
    user = _expression(prompt, {"{system}": "(system if loop.first else '')", "{prompt}": "message['content']"})
    text = (
        "{%- set has_system = messages[0]['role'] == 'system' %}"
        "{%- set system = messages[0]['content'] if has_system else '' %}"
        "{%- for message in (messages[1:] if has_system else messages) %}"
        "{%- if message['role'] != ('assistant' if loop.index0 % 2 else 'user') %}"
        f"{{{{- raise_exception({_OUT_OF_TURN}) }}}}{{%- endif %}}"
        f"{refusal}{{%- if message['role'] == 'user' %}}{{{{- {user} }}}}{{%- else %}}{answer}{{%- endif %}}"
        "{%- endfor %}"
    )
    return Template(text, _tokens(prompt, chosen, rejected), _end_token(rejected if is_rejected else chosen))


def _answer(piece: str, name: str) -> str:
    expression = _expression(piece, {name: "message['content']"})
    return f"{{{{- {expression} }}}}{_end(piece)}"


def _expression(piece: str, values: dict[str, str]) -> str:
    """A Jinja expression for a piece in which names in braces stand for values; other braces are text."""
    parts = re.split(f"({'|'.join(map(re.escape, values))})", piece)
    return " + ".join(values.get(part) or _literal(part) for part in parts if part)


def _end(piece: str) -> str:
    return "" if _end_token(piece) else "{{- eos_token }}"


def _end_token(piece: str) -> str | None:
    """The token that a piece ends with, white space aside."""
    found = list(_TOKEN.finditer(piece.rstrip()))
    return found[-1].group() if found and found[-1].end() == len(piece.rstrip()) else None


def _tokens(*pieces: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token for piece in pieces for token in _TOKEN.findall(piece)))


def _literal(text: str) -> str:
    """A string literal of Jinja, free of everything that opens or closes anything."""
    escaped = (f"\\u{ord(char):04x}" if char in _SPECIAL or ord(char) < 32 else char for char in text)
    return f"'{''.join(escaped)}'"


def _error(field: str, message: str) -> DatasetError:
    return DatasetError(FindingCode.WRONG_TEMPLATE, f"{field}: {message}")


_NO_TOOLS = _literal("the custom template has roles system, user and assistant; this is a message of another role")
_NO_SYSTEM = _literal(f"there is a system message, and no {{system}} in {_FIELD}.promptTemplate")
_OUT_OF_TURN = _literal(
    f"{_FIELD}.promptTemplate makes turns of user and assistant, one after the other, and one system message before "
    "them; this is a message out of turn"
)
