"""Fields and types against examples."""

from typing import Any

import pytest

from tests.documents.shapes import Difference, differences, excused, parse_example


def found(value: Any, example: Any, *keyed_by_id: str) -> list[str]:
    return [str(difference) for difference in differences(value, example, keyed_by_id)]


@pytest.mark.parametrize(
    ("value", "example"),
    [
        ({"id": "x", "more": 1}, {"id": "y"}),
        ({"loss": 1}, {"loss": 0.5}),
        ({"end": 3.5}, {"end": None}),
        ({"jobs": [{"id": 1}, {"id": 2}]}, {"jobs": [{"id": 7}]}),
        ({"errors": ["any"]}, {"errors": []}),
        ({"active": False}, {"active": True}),
    ],
)
def test_a_value_with_the_fields_and_types_of_the_example_is_like_it(value: Any, example: Any) -> None:
    assert found(value, example) == []


@pytest.mark.parametrize(
    ("value", "example", "words"),
    [
        ({}, {"job": {"id": 1}}, "job is missing"),
        ({"job": {}}, {"job": {"id": 1}}, "job.id is missing"),
        ({"count": True}, {"count": 1}, "count is true or false, not a whole number"),
        ({"count": 1.5}, {"count": 1}, "count is a number, not a whole number"),
        ({"active": 1}, {"active": True}, "active is a whole number, not true or false"),
        ({"end": None}, {"end": "2025"}, "end is null, not a text"),
        ({"jobs": []}, {"jobs": [1]}, "jobs[] has nothing in it"),
        ({"jobs": [1, "2", "3"]}, {"jobs": [1]}, "jobs[] is a text, not a whole number"),
        ([], {}, "the whole is a list, not an object"),
    ],
)
def test_a_difference_names_its_place_once(value: Any, example: Any, words: str) -> None:
    assert found(value, example) == [words]


def test_values_of_an_object_keyed_by_id_are_like_the_examples_value() -> None:
    example = {"job_1": {"status": "done"}, "job_2": {"status": "done"}}
    assert found({"x": {"status": "s"}}, example, "") == []
    assert found({"x": {"status": 1}}, example, "") == ["{}.status is a whole number, not a text"]
    assert found({}, example, "") == ["{} has nothing in it"]


def test_a_reason_covers_a_difference_and_is_told_when_it_covers_none() -> None:
    known = [Difference("url", "is null, not a text")]
    assert excused(known, {"url": "not tracked"}) == ([], ["url: not tracked"], [])
    left, needed, idle = excused(known, {"loss": "none yet"})
    assert (left, needed) == (known, [])
    assert [difference.path for difference in idle] == ["loss"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"config": {"model": "...", "method": "lora", ...}}', {"config": {"model": "...", "method": "lora"}}),
        ('{"r": 4, // rank ("4", "8")\n "u": "http://host/a"}', {"r": 4, "u": "http://host/a"}),
        ('{"modules": [ // which\n "q", ... ]}', {"modules": ["q"]}),
    ],
)
def test_examples_may_have_comments_and_leave_things_out(text: str, value: Any) -> None:
    assert parse_example(text) == value
