"""Admission of manifests where no API server does it: structure, defaults and rules, with the same fields named.

On a cluster the CRDs do this. The local store and the facade call `admit`; one table of manifests proves that both
refuse the same ones.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fettle_schema.adapter import AdapterSpec
from fettle_schema.adapter_rules import ADAPTER_RULES
from fettle_schema.base import API_VERSION, LABEL_NAME_PATTERN, Model
from fettle_schema.errors import FieldError, InvalidManifestError
from fettle_schema.names import MAX_JOB_NAME
from fettle_schema.rules import Rule, broken
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.training_job_rules import TRAINING_JOB_RULES


@dataclass(frozen=True)
class Kind:
    """One of our kinds: the model of its spec and its rules."""

    name: str
    spec: type[Model]
    rules: list[Rule]


KINDS = {
    "TrainingJob": Kind("TrainingJob", TrainingJobSpec, TRAINING_JOB_RULES),
    "Adapter": Kind("Adapter", AdapterSpec, ADAPTER_RULES),
}

_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")


def admit(manifest: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    """The manifest with defaults filled in. `old` is what it replaces: rules about changes are then checked too.

    Raises InvalidManifestError with everything that is wrong. Status is passed through unread.
    """
    kind = KINDS.get(str(manifest.get("kind")))
    if kind is None:
        raise InvalidManifestError(
            [FieldError("kind", f"must be one of {', '.join(KINDS)}, is {manifest.get('kind')!r}")]
        )
    errors = _envelope_errors(manifest)
    spec, spec_errors = _parse(kind, manifest.get("spec"))
    errors += spec_errors
    if spec is not None:
        errors += broken(kind.rules, spec, (old or {}).get("spec"))
    if errors or spec is None:
        raise InvalidManifestError(errors)
    return {**manifest, "spec": spec}


def _envelope_errors(manifest: dict[str, Any]) -> list[FieldError]:
    errors = [
        FieldError(str(key), f'unknown field "{key}": allowed are {", ".join(_TOP_LEVEL)}')
        for key in manifest
        if key not in _TOP_LEVEL
    ]
    if manifest.get("apiVersion") != API_VERSION:
        errors.append(FieldError("apiVersion", f"must be {API_VERSION}, is {manifest.get('apiVersion')!r}"))
    name = (manifest.get("metadata") or {}).get("name")
    if not isinstance(name, str) or not name:
        errors.append(FieldError("metadata.name", "Required value"))
    elif len(name) > MAX_JOB_NAME or not re.fullmatch(LABEL_NAME_PATTERN, name):
        allowed = f"at most {MAX_JOB_NAME} characters, should match {LABEL_NAME_PATTERN}"
        errors.append(FieldError("metadata.name", f"Invalid value: {name!r}: {allowed}"))
    return errors


def _parse(kind: Kind, spec: Any) -> tuple[dict[str, Any] | None, list[FieldError]]:
    if spec is None:
        return None, [FieldError("spec", "Required value")]
    try:
        return kind.spec.model_validate_json(json.dumps(spec), strict=True, by_name=False).manifest(), []
    except ValidationError as error:
        found = [_field_error(detail) for detail in error.errors(include_url=False)]
        return None, list(dict.fromkeys(found))


def _field_error(detail: Any) -> FieldError:
    path = "spec"
    for part in detail["loc"]:
        if part == "[key]":
            break
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return FieldError(path, "Required value")
    if kind == "extra_forbidden":
        return FieldError(path, f'unknown field "{path}"')
    if kind in ("enum", "literal_error"):
        return FieldError(path, f"Unsupported value: {value!r}: supported values: {context['expected']}")
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
    return FieldError(path, f"Invalid value: {shown}: {detail['msg'][0].lower()}{detail['msg'][1:]}")
