"""Field tables of the API reference, from the same schemas that the CRDs are made of."""

from typing import Any

from fettle_schema.crd import ResourceDefinition
from fettle_schema.failures import FAILURES
from fettle_schema.reasons import REASONS
from fettle_schema.rules import Rule
from fettle_schema.vocabulary import FAILURE_OF_EXIT


def field_table(definition: ResourceDefinition, part: str) -> str:
    """A Markdown table of all fields below `spec` or `status`."""
    schema = definition.manifest()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    rows = ["| field | type | default | |", "|---|---|---|---|"]
    rows += _rows(schema, part)
    return "\n".join(rows)


def rule_table(rules: list[Rule]) -> str:
    """A Markdown table of the rules."""
    rows = ["| field | rule | checked |", "|---|---|---|"]
    for rule in rules:
        when = "on update" if rule.is_transition else "always"
        rows.append(f"| `spec.{rule.path}` | {_escape(rule.message)} | {when} |")
    return "\n".join(rows)


def reason_table() -> str:
    """A Markdown table of the conditions' reasons."""
    rows = ["| reason | condition | meaning |", "|---|---|---|"]
    rows += [f"| `{reason}` | {where} | {_escape(meaning)} |" for reason, (where, meaning) in REASONS.items()]
    return "\n".join(rows)


def failure_table() -> str:
    """A Markdown table of the failure codes."""
    rows = ["| code | exit code | what happened | what to do |", "|---|---|---|---|"]
    exits = {failure: str(exit_code.value) for exit_code, failure in FAILURE_OF_EXIT.items()}
    for code, (sentence, hint) in FAILURES.items():
        rows.append(f"| `{code}` | {exits.get(code, '')} | {_escape(sentence)} | {_escape(hint)} |")
    return "\n".join(rows)


def failure_sections() -> str:
    """A Markdown section for each failure code, to be linked to."""
    exits = {failure: exit_code for exit_code, failure in FAILURE_OF_EXIT.items()}
    sections: list[str] = []
    for code, (sentence, hint) in FAILURES.items():
        exit_code = exits.get(code)
        told = f" The trainer exits with {exit_code.value}." if exit_code else ""
        again = " It is not tried again." if exit_code and exit_code.is_final else ""
        sections.append(f"### {code}\n\n{sentence}{told}{again}\n\n{hint}")
    return "\n\n".join(sections)


def _rows(schema: dict[str, Any], path: str) -> list[str]:
    required = schema.get("required", [])
    rows: list[str] = []
    for name, child in schema["properties"].items():
        here = f"{path}.{name}"
        default = child.get("default")
        shown = "required" if name in required else "" if default in (None, {}, []) else f"`{default}`"
        rows.append(f"| `{here}` | {_type(child)} | {shown} | {_escape(child.get('description', ''))} |")
        item = child.get("items", child)
        if "properties" in item:
            rows += _rows(item, here + ("[]" if "items" in child else ""))
    return rows


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    limits = [
        f"{sign} {schema[key]:g}"
        for key, sign in (("minimum", "≥"), ("maximum", "≤"))
        if key in schema and not schema.get(f"exclusive{key.title()}")
    ]
    limits += [
        f"{sign} {schema[key]:g}"
        for key, sign in (("minimum", ">"), ("maximum", "<"))
        if schema.get(f"exclusive{key.title()}")
    ]
    return f"{schema['type']} {', '.join(limits)}".strip()


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
