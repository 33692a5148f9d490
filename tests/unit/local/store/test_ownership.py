"""Who owns which field after an apply, as server-side apply has it."""

from typing import Any

import pytest

from fettle_local.store.ownership import Owners, apply_fields, conflicts, leaves


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, set()),
        ({"a": 1, "b": {"c": 2}}, {("a",), ("b", "c")}),
        ({"a": {}}, {("a",)}),
        ({"a": [1, 2]}, {("a",)}),
        (
            {"conditions": [{"type": "Ready", "status": "True"}]},
            {("conditions", "[type=Ready]", "type"), ("conditions", "[type=Ready]", "status")},
        ),
    ],
)
def test_leaves_are_the_fields_that_hold_a_value(value: dict[str, Any], expected: set[tuple[str, ...]]) -> None:
    assert leaves(value) == expected


def applied(*writes: tuple[str, dict[str, Any]]) -> tuple[dict[str, Any], Owners]:
    current: dict[str, Any] = {}
    owners: Owners = {}
    for manager, fields in writes:
        current, owners = apply_fields(current, fields, owners, manager)
    return current, owners


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ([("a", {"x": 1, "y": 2}), ("a", {"x": 1})], {"x": 1}),
        ([("a", {"x": 1}), ("b", {"y": 2}), ("a", {})], {"y": 2}),
        ([("a", {"x": 1}), ("b", {"x": 2}), ("a", {})], {"x": 2}),
        ([("a", {"x": {"y": {"z": 1}}}), ("a", {})], {}),
        ([("a", {"x": 1}), ("a", {"x": None})], {}),
        ([("a", {"x": [1, 2]}), ("a", {"x": [3]})], {"x": [3]}),
        ([("a", {"x": {"y": 1}}), ("a", {"x": 5})], {"x": 5}),
    ],
)
def test_fields_that_are_no_longer_named_vanish(
    writes: list[tuple[str, dict[str, Any]]], expected: dict[str, Any]
) -> None:
    assert applied(*writes)[0] == expected


def test_conditions_of_two_managers_live_side_by_side() -> None:
    ready, loaded = {"type": "Ready", "status": "True"}, {"type": "Loaded", "status": "False"}
    current, _ = applied(("a", {"conditions": [ready]}), ("b", {"conditions": [loaded]}))
    assert current == {"conditions": [ready, loaded]}
    current, _ = applied(("a", {"conditions": [ready]}), ("b", {"conditions": [loaded]}), ("a", {}))
    assert current == {"conditions": [loaded]}


def test_a_conflict_names_field_and_owner() -> None:
    current, owners = applied(("a", {"spec": {"suspend": True}}))
    assert conflicts(current, {"spec": {"suspend": False}}, owners, "b") == [("spec.suspend", "a")]
    assert conflicts(current, {"spec": {"suspend": True}}, owners, "b") == []
