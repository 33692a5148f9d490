"""Renders chat templates as transformers does, without transformers: for previews, and where no tokenizer is at hand.

A template is a program of somebody else: it runs in Jinja's sandbox, and what it raises becomes a DatasetError. Jinja
is imported when the first template is compiled.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from fettle_data.findings import DatasetError, FindingCode

if TYPE_CHECKING:
    from jinja2 import Template as CompiledTemplate
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_TEMPLATE_FILE = "chat_template.jinja"
_TEMPLATE_DIRECTORY = "additional_chat_templates"
_CONFIG_FILE = "tokenizer_config.json"
_SPECIAL_TOKENS_FILE = "special_tokens_map.json"
_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_MAX_FILE_BYTES = 64 * 1024 * 1024
_MAX_REASON = 300

Tools = Sequence[Mapping[str, Any]]


class ApplyTemplate(Protocol):
    """Messages → text. Raises DatasetError with TEMPLATE_REFUSED, or an error of its own, if the template refuses."""

    def __call__(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Tools | None = None, add_generation_prompt: bool = False
    ) -> str: ...


class ChatTemplate:
    """A template and the special tokens that it may name. An `ApplyTemplate`."""

    def __init__(
        self, text: str, special_tokens: Mapping[str, str] | None = None, tool_use_text: str | None = None
    ) -> None:
        self.text = text
        self.special_tokens = dict(special_tokens or {})
        """For example `{"eos_token": "</s>"}`."""
        self._tool_use_text = tool_use_text

    def with_text(self, text: str) -> "ChatTemplate":
        """Another template with the same tokens."""
        return ChatTemplate(text, self.special_tokens)

    def __call__(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Tools | None = None, add_generation_prompt: bool = False
    ) -> str:
        if not messages:
            raise DatasetError(FindingCode.TEMPLATE_REFUSED, "the chat template needs one message at least")
        text = self._tool_use_text if tools is not None and self._tool_use_text is not None else self.text
        compiled = _compile(text)
        try:
            return compiled.render(
                messages=list(messages),
                tools=tools,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self.special_tokens,
            )
        except Exception as error:  # a template raises what it likes
            message = f"the chat template refuses the conversation: {str(error)[:_MAX_REASON]}"
            raise DatasetError(FindingCode.TEMPLATE_REFUSED, message) from error


def load_chat_template(model_directory: Path) -> ChatTemplate | None:
    """The template that a model brings, with its special tokens; None if it brings none.

    As transformers: chat_template.jinja wins over tokenizer_config.json, and of several templates `default` is used,
    or `tool_use` where tools are given. Raises DatasetError if a file cannot be read.
    """
    config = _read_json(model_directory / _CONFIG_FILE)
    templates = _template_files(model_directory) or _config_templates(config.get("chat_template"))
    if not templates:
        return None
    if "default" not in templates:
        message = f"the model has the chat templates {', '.join(sorted(templates))}, and none of them is the default"
        raise DatasetError(FindingCode.WRONG_TEMPLATE, message)
    return ChatTemplate(templates["default"], load_special_tokens(model_directory), templates.get("tool_use"))


def load_special_tokens(model_directory: Path) -> dict[str, str]:
    """Name → text of the special tokens that a model's tokenizer declares, for example `eos_token`."""
    values = {**_read_json(model_directory / _SPECIAL_TOKENS_FILE), **_read_json(model_directory / _CONFIG_FILE)}
    tokens = {name: _token_text(values.get(name)) for name in _TOKEN_NAMES}
    return {name: text for name, text in tokens.items() if text is not None}


def _template_files(directory: Path) -> dict[str, str]:
    files = {"default": directory / _TEMPLATE_FILE}
    files |= {path.stem: path for path in sorted((directory / _TEMPLATE_DIRECTORY).glob("*.jinja"))}
    return {name: _read_text(path) for name, path in files.items() if path.is_file()}


def _config_templates(value: object) -> dict[str, str]:
    if isinstance(value, str):
        return {"default": value}
    if isinstance(value, dict):
        return {name: text for name, text in value.items() if isinstance(text, str)}
    items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return {
        item["name"]: item["template"]
        for item in items
        if isinstance(item.get("name"), str) and isinstance(item.get("template"), str)
    }


def _token_text(value: object) -> str | None:
    """A token is a string, or an object with its `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(_read_text(path))
    except ValueError as error:
        raise DatasetError(FindingCode.WRONG_TEMPLATE, f"{path.name}: this is not valid JSON") from error
    return value if isinstance(value, dict) else {}


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            raise DatasetError(FindingCode.WRONG_TEMPLATE, f"{path.name}: it is larger than {_MAX_FILE_BYTES} bytes")
        return raw.decode().replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(FindingCode.WRONG_TEMPLATE, f"{path.name}: it cannot be read: {error}") from error


@lru_cache(maxsize=16)
def _compile(text: str) -> "CompiledTemplate":
    from jinja2.exceptions import TemplateError

    try:
        return _environment().from_string(text)
    except TemplateError as error:
        message = f"the chat template is not valid Jinja: {str(error)[:_MAX_REASON]}"
        raise DatasetError(FindingCode.WRONG_TEMPLATE, message) from error


@lru_cache(maxsize=1)
def _environment() -> "ImmutableSandboxedEnvironment":
    """The environment of transformers.utils.chat_template_utils."""
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class GenerationBlocks(Extension):
        """`{% generation %}` marks what the assistant says; here it is only passed through."""

        tags = {"generation"}  # noqa: RUF012 # Jinja's own declaration

        def parse(self, parser: Parser) -> list[nodes.Node]:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return [nodes.Scope(body).set_lineno(line)]

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def to_json(
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(pattern: str) -> str:
        return datetime.now().strftime(pattern)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlocks, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment
