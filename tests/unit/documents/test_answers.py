"""What curl printed."""

from tests.documents.answers import Answer, answers_of

OUTPUT = """{"a":
1}
<<answer 201 POST http://localhost:1/jobs>>

<<answer 204 GET http://localhost:1/>>
"""


def test_each_call_has_its_answer() -> None:
    assert answers_of(OUTPUT) == [
        Answer("POST", "http://localhost:1/jobs", 201, '{"a":\n1}'),
        Answer("GET", "http://localhost:1/", 204, ""),
    ]
    assert answers_of(OUTPUT)[0].json == {"a": 1}


def test_what_is_no_answer_is_none() -> None:
    assert answers_of("curl: (7) Failed to connect\n") == []
