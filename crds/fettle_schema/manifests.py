"""Manifests as text: YAML in, YAML out.

PyYAML reads YAML 1.1, where `2e-4` is a text and `on` is true; kubectl reads YAML 1.2's numbers. Learning rates are
written that way, so the loader here follows kubectl for numbers.
"""

import re
from typing import Any

import yaml

from fettle_schema.errors import FieldError, InvalidManifestError


class _Loader(yaml.SafeLoader):
    """SafeLoader that takes `2e-4` and `1E5` for numbers, and keeps dates as text, as JSON would."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = ("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$"), list("-+0123456789."))
_Loader.add_implicit_resolver(*_FLOAT)


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, writes text of several lines as a block, and uses no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_implicit_resolver(*_FLOAT)  # so that the text "2e-4" is quoted


def load_manifests(text: str) -> list[dict[str, Any]]:
    """All documents of a YAML or JSON text; a `List` is opened. Raises InvalidManifestError with line and column."""
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidManifestError([FieldError("(file)", f"not YAML: {error}")]) from error
    manifests: list[dict[str, Any]] = []
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            raise InvalidManifestError([FieldError(f"(document {number})", "not a manifest: it has no kind")])
        if document["kind"] == "List":
            manifests.extend(document.get("items") or [])
        else:
            manifests.append(document)
    return manifests


def dump_manifest(manifest: dict[str, Any]) -> str:
    """One manifest as YAML, in the order of its keys."""
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
