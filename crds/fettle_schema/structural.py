"""Pydantic models → structural schemas, as CustomResourceDefinitions need them.

A structural schema has a type at every node, no references and no unions. Nothing of the models may be lost silently:
what cannot be said raises TypeError with the path.
"""

from enum import Enum
from typing import Any

from fettle_schema.base import Model

_DROPPED = frozenset({"$defs", "title", "additionalProperties", "discriminator", "propertyNames"})
_TYPE_OF = {str: "string", bool: "boolean", int: "integer", float: "number"}


def structural_schema(model: type[Model]) -> dict[str, Any]:
    """The structural schema of a model, with descriptions from its docstrings and defaults from its fields."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    node = _node(schema, schema.get("$defs", {}), model.__name__)
    _mark_object_defaults(node, model)
    return node


def _node(schema: dict[str, Any], definitions: dict[str, Any], path: str) -> dict[str, Any]:
    schema = dict(schema)
    if "$ref" in schema:
        target = definitions[schema.pop("$ref").rsplit("/", 1)[1]]
        schema = {**target, **schema}
    if "anyOf" in schema:
        schema = _optional(schema, path)
        return _node(schema, definitions, path)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "enum" in schema and "type" not in schema:
        schema["type"] = _TYPE_OF[type(schema["enum"][0])]
    _exclusive_bounds(schema)
    properties, values = schema.pop("properties", None), schema.get("additionalProperties")
    result = {key: value for key, value in schema.items() if key not in _DROPPED}
    if result.get("default", 0) is None:
        del result["default"]
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if "type" not in result:
        raise TypeError(f"{path}: no type, a structural schema needs one")
    if properties is not None:
        result["properties"] = {name: _node(value, definitions, f"{path}.{name}") for name, value in properties.items()}
    elif isinstance(values, dict) and values:
        result["additionalProperties"] = _node(values, definitions, f"{path}.*")
    elif result["type"] == "object":
        result["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in result:
        result["items"] = _node(result["items"], definitions, f"{path}[]")
    return result


def _optional(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """`X | None` → X, nullable."""
    schema = dict(schema)
    choices = [choice for choice in schema.pop("anyOf") if choice.get("type") != "null"]
    if len(choices) != 1:
        raise TypeError(f"{path}: a union of {len(choices)} types cannot be structural")
    return {**choices[0], **schema, "nullable": True}


def _exclusive_bounds(schema: dict[str, Any]) -> None:
    """JSON Schema 2020 writes exclusive bounds as numbers, OpenAPI 3.0 as flags."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in schema:
            schema[bound], schema[exclusive] = schema[exclusive], True


def _mark_object_defaults(node: dict[str, Any], model: type[Model]) -> None:
    """Objects made by a default factory get `default: {}`, so that the API server fills in their fields."""
    for name, field in model.model_fields.items():
        child = node["properties"][field.alias or name]
        if field.default_factory is not None:
            child["default"] = {}
        if isinstance(child.get("default"), Enum):
            child["default"] = child["default"].value
        for nested in _models_in(field.annotation):
            if child.get("type") == "object" and "properties" in child:
                _mark_object_defaults(child, nested)
            elif child.get("type") == "array" and "properties" in child["items"]:
                _mark_object_defaults(child["items"], nested)


def _models_in(annotation: Any) -> list[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]
