import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_api.errors import BodyError
from fettle_api.trajectories.model import Trajectory
from fettle_api.trajectories.reading import MAX_AT_ONCE, read_trajectories
from fettle_api.trajectories.scrubbing import Scrubber

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALL = {"systemPrompt": "You are helpful.", "userPrompt": "What is a pod?", "response": "A group of containers."}


def read(body: Any) -> list[Trajectory]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_trajectories(raw, NOW, Scrubber())


def test_both_spellings_are_one() -> None:
    camel = {
        "id": "t1",
        "agentId": "a",
        "source": "chat",
        "status": "error",
        "startTime": 1718000000000,
        "endTime": "2024-06-10T06:13:30Z",
        "totalReward": 1.5,
        "aiJudgeReward": 0.5,
        "episodeLength": 3,
        "llmCalls": [{**CALL, "id": "c1", "latencyMs": 12, "promptTokens": 3, "maxTokens": 9}],
        "providerAccesses": [{"id": "p1", "providerName": "TIME", "data": {"x": 1}, "query": "q"}],
    }
    snake = {
        "trajectory_id": "t1",
        "agent_id": "a",
        "source": "chat",
        "status": "error",
        "start_time": "2024-06-10T06:13:20+00:00",
        "end_time": 1718000010000,
        "total_reward": 1.5,
        "ai_judge_reward": 0.5,
        "episode_length": 3,
        "llm_calls": [
            {
                "call_id": "c1",
                "system_prompt": CALL["systemPrompt"],
                "user_prompt": CALL["userPrompt"],
                "response": CALL["response"],
                "latency_ms": 12,
                "prompt_tokens": 3,
                "max_tokens": 9,
            }
        ],
        "provider_accesses": [{"id": "p1", "provider_name": "TIME", "data": {"x": 1}, "query": "q"}],
    }
    assert read(camel) == read(snake)
    (trajectory,) = read(camel)
    times = (trajectory.start_time, trajectory.end_time, trajectory.created_at)
    assert times == (1718000000000, 1718000010000, 1718000000000)


def test_one_a_line_and_in_a_list() -> None:
    rows = [{"id": "a", "llmCalls": [CALL]}, {"id": "b", "llmCalls": []}]
    lines = "\n".join(map(json.dumps, rows)).encode() + b"\n\n"
    assert [one.id for one in read(lines)] == [one.id for one in read(rows)] == ["a", "b"]


def test_an_id_follows_from_the_content() -> None:
    first, second, other = (
        read({"llmCalls": [{**CALL, "response": text}], "startTime": 5})[0] for text in ("one", "one", "two")
    )
    assert first.id == second.id != other.id
    assert first.llm_calls[0].id == "call-1"


def test_calls_are_found_in_steps_too() -> None:
    steps = [{"stepNumber": 0, "llmCalls": [CALL], "providerAccesses": [{"providerName": "X"}]}, {"llm_calls": [CALL]}]
    for body in ({"steps": steps}, {"stepsJson": json.dumps(steps)}, {"steps_json": steps}):
        (trajectory,) = read(body)
        assert [call.response for call in trajectory.llm_calls] == [CALL["response"]] * 2
        assert [access.provider_name for access in trajectory.provider_accesses] == ["X"]
        assert json.loads(trajectory.steps_json or "") == steps


def test_times_come_from_what_is_known() -> None:
    now = round(NOW.timestamp() * 1000)
    (bare,) = read({"llmCalls": []})
    assert (bare.start_time, bare.created_at, bare.end_time) == (now, now, None)
    (called,) = read({"llmCalls": [{**CALL, "timestamp": 7}, {**CALL, "timestamp": 5}], "createdAt": 9})
    assert (called.start_time, called.created_at) == (5, 9)


def test_everything_but_ids_is_scrubbed_and_counted() -> None:
    scrubber = Scrubber()
    body = {
        "id": "ann@example.com",
        "archetype": "bob@example.com",
        "llmCalls": [{**CALL, "userPrompt": "I am carl@example.com, my key is sk-abcdef1234567890abcd"}],
        "providerAccesses": [{"data": {"password": "x"}, "query": "dora@example.com"}],
    }
    (trajectory,) = read_trajectories(json.dumps(body).encode(), NOW, scrubber)
    assert trajectory.id == "ann@example.com"
    kept = trajectory.model_dump_json(exclude={"id"})
    assert "example.com" not in kept
    assert "sk-abc" not in kept
    assert (scrubber.secret_count, scrubber.email_count) == (2, 3)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "expected a trajectory"),
        (b"[1]", "item 0: expected an object"),
        (b'"x"', "expected an object"),
        (b'{"a": 1}', "this is no trajectory"),
        (b'{"llmCalls": 5}', "llmCalls"),
        (b'{"llmCalls": [{"response": 5}]}', "llmCalls.0.response"),
        (b'{"source": "fax"}', "source"),
        (b'{"status": "done"}', "status"),
        (b'{"startTime": "yesterday"}', "startTime: must be milliseconds"),
        (b'{"startTime": -1}', "startTime"),
        (b'{"id": ""}', "id"),
        (b'{"id": "a"}\n{"id": 1.5}', "line 2: id"),
        (b'{"id": "a"}\n{', "line 2: not JSON"),
        (b'{"id": "a"}\n\n{"source": 1}', "line 3: source"),
        (b"[" + b"{}," * MAX_AT_ONCE + b"{}]", "at most 5000"),
        (b'{"stepsJson": "[{\\"llmCalls\\": [1]}]"}', "stepsJson.llmCalls.0"),
    ],
)
def test_what_is_refused_says_where(body: bytes, words: str) -> None:
    with pytest.raises(BodyError) as refused:
        read(body)
    assert words in str(refused.value)
    assert "pydantic" not in str(refused.value)
