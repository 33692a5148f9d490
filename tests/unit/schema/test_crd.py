"""The CustomResourceDefinitions: structural at every node, bounded, and described."""

from collections.abc import Iterator
from typing import Any

import pytest

from fettle_schema.crd import ADAPTER, DEFINITIONS, TRAINING_JOB, ResourceDefinition
from fettle_schema.rules import present
from fettle_schema.structural import structural_schema
from fettle_schema.training_job import TrainingJobSpec

Node = tuple[str, dict[str, Any]]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[Node]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], path + suffix)


def spec_schema(definition: ResourceDefinition) -> dict[str, Any]:
    schema = definition.manifest()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return dict(schema["properties"]["spec"])


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_every_node_has_a_type_and_nothing_that_is_not_structural(definition: ResourceDefinition) -> None:
    for path, node in nodes(spec_schema(definition)):
        assert isinstance(node.get("type"), str), path
        assert not {"$ref", "anyOf", "oneOf", "allOf", "const", "title", "$defs"} & node.keys(), path
        assert not ("properties" in node and "additionalProperties" in node), path


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_every_list_map_and_text_of_spec_is_bounded(definition: ResourceDefinition) -> None:
    bounds = {"array": "maxItems", "string": "maxLength"}
    for path, node in nodes(spec_schema(definition)):
        bound = "maxProperties" if "additionalProperties" in node else bounds.get(node["type"])
        assert bound is None or bound in node or "enum" in node, path


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_every_field_is_described(definition: ResourceDefinition) -> None:
    for path, node in nodes(spec_schema(definition)):
        if path and not path.endswith(("[]", ".*")):
            assert node.get("description"), path


def test_objects_made_by_a_factory_are_filled_in_by_the_api_server() -> None:
    properties = structural_schema(TrainingJobSpec)["properties"]
    assert properties["limits"]["default"] == {}
    assert properties["limits"]["properties"]["maxRetries"]["default"] == 3
    assert properties["dataset"]["properties"]["template"]["default"] == {}
    assert "default" not in properties["startFrom"]


def test_optional_fields_may_be_null_and_required_ones_not() -> None:
    properties = structural_schema(TrainingJobSpec)["properties"]
    assert properties["startFrom"]["nullable"] is True
    assert "nullable" not in properties["baseModel"]


def test_what_a_schema_cannot_say_is_refused_by_path() -> None:
    from fettle_schema.base import Model

    class Union(Model):
        value: int | str

    with pytest.raises(TypeError, match=r"Union\.value: a union of 2 types"):
        structural_schema(Union)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_rules_point_at_fields_that_exist(definition: ResourceDefinition) -> None:
    schema = spec_schema(definition)
    for rule in definition.rules:
        path = [part for name in rule.path.split(".") for part in ("properties", name)]
        assert present(schema, *path) is not None, rule.path


def test_columns_are_those_that_people_were_promised() -> None:
    def names(definition: ResourceDefinition, is_wide: bool) -> list[str]:
        return [column.name for column in definition.columns if column.is_wide == is_wide]

    assert names(TRAINING_JOB, False) == ["PHASE", "STEP", "LOSS", "ETA", "GPUS", "RESTARTS", "AGE"]
    assert {"METHOD", "MODEL", "QUEUE", "ADAPTER", "REASON"} <= set(names(TRAINING_JOB, True))
    assert names(ADAPTER, False)[0] == "PHASE"


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_columns_and_selectable_fields_name_fields_that_exist(definition: ResourceDefinition) -> None:
    manifest = definition.manifest()["spec"]["versions"][0]
    schema = manifest["schema"]["openAPIV3Schema"]
    paths = [column.path for column in definition.columns if not column.path.startswith(".metadata")]
    for path in [*paths, *definition.selectable_fields]:
        steps = [part for name in path.lstrip(".").split(".") for part in ("properties", name)]
        assert present(schema, *steps) is not None, path
