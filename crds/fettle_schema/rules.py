"""The mechanism of rules: each is declared once, as CEL for the API server and as a predicate for everyone else.

The rules themselves stand in `training_job_rules` and `adapter_rules`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fettle_schema.base import Model
from fettle_schema.errors import FieldError

Spec = dict[str, Any]
"""A spec as JSON values, after defaulting."""


@dataclass(frozen=True)
class Rule:
    """Something that the structure alone cannot say about a spec.

    `cel` is evaluated on the field `at` of the spec, if there is one ("" is the spec itself), and `holds` on the whole
    spec as JSON values. A rule with `is_transition` compares with the old spec and is not evaluated on create. `path`
    is the field that the error points at. Both paths are without `spec.`.

    The API server evaluates all rules at each write of a status too, and each step of a path in CEL costs as much as
    its object can have fields: so a rule stands as deep as it can.
    """

    path: str
    message: str
    cel: str
    holds: Callable[[Spec, Spec], bool]
    is_transition: bool = False
    at: str = ""

    def validation(self) -> dict[str, Any]:
        """The entry of `x-kubernetes-validations` of the field `at`."""
        below = self.path.removeprefix(self.at).removeprefix(".")
        return {"rule": self.cel, "message": self.message, **({"fieldPath": f".{below}"} if below else {})}


def broken(rules: list[Rule], spec: Spec, old: Spec | None) -> list[FieldError]:
    """What the rules say against a spec, or against its change from `old`."""
    return [
        FieldError(f"spec.{rule.path}", rule.message)
        for rule in rules
        if not (rule.is_transition and old is None) and not rule.holds(spec, old or spec)
    ]


def present(spec: Any, *path: str) -> Any:
    """The value at a path, or None when any part of it is missing."""
    for key in path:
        spec = spec.get(key) if isinstance(spec, dict) else None
    return spec


def exactly_one(at: str, names: tuple[str, ...]) -> Rule:
    """Exactly one of the fields `names` of the object `at` is set, if there is one."""
    count = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in names)
    parents = tuple(at.split("."))

    def holds(spec: Spec, _old: Spec) -> bool:
        value = present(spec, *parents)
        return value is None or sum(present(value, name) is not None for name in names) == 1

    return Rule(
        path=at,
        message=f"set exactly one of {', '.join(names)}",
        cel=f"{count} == 1",
        holds=holds,
        at=at,
    )


def immutable(path: str, required: bool) -> Rule:
    """The field never changes, and is neither added nor removed."""
    keys = tuple(path.split("."))
    new, old = f"self.{path}", f"oldSelf.{path}"
    as_before = f"has({new}) == has({old}) && (!has({new}) || {new} == {old})"
    return Rule(
        path=path,
        message="is immutable: delete the resource and create another",
        cel="self == oldSelf" if required else as_before,
        holds=lambda spec, before: present(spec, *keys) == present(before, *keys),
        is_transition=True,
        at=path if required else "",
    )


def required_fields(model: type[Model]) -> dict[str, bool]:
    """Wire names of a model's fields → whether they are always there after defaulting."""
    return {
        field.alias or name: field.is_required() or field.get_default(call_default_factory=True) is not None
        for name, field in model.model_fields.items()
    }
