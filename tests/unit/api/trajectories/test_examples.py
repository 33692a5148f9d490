import pytest

from fettle_api.trajectories.examples import choose, example_of
from fettle_api.trajectories.model import LlmCall, Trajectory

CALL = LlmCall(system_prompt="You are helpful.", user_prompt="What is a pod?", response="A group of containers.")


def trajectory(name: str, *calls: LlmCall) -> Trajectory:
    return Trajectory(id=name, llm_calls=calls)


def test_a_call_is_system_user_assistant() -> None:
    assert example_of(CALL) == {
        "messages": [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": "What is a pod?"},
            {"role": "assistant", "content": "A group of containers."},
        ]
    }


@pytest.mark.parametrize("field", ["system_prompt", "user_prompt", "response"])
@pytest.mark.parametrize(("text", "is_kept"), [("1234567", False), ("12345678", True), ("1 2 3 4\n5 6 7", False)])
def test_each_text_says_something(field: str, text: str, is_kept: bool) -> None:
    assert (example_of(CALL.model_copy(update={field: text})) is not None) == is_kept


def test_limit_and_least_number_of_calls() -> None:
    short = CALL.model_copy(update={"response": "yes"})
    all_of_them = [trajectory("a", CALL), trajectory("b", CALL, short), trajectory("c", CALL, CALL), trajectory("d")]
    found = {one.trajectory_id: len(one.examples) for one in choose(all_of_them, 2, 2)}
    assert found == {"b": 1, "c": 2}
    assert [one.trajectory_id for one in choose(all_of_them, 1, 1)] == ["a"]
