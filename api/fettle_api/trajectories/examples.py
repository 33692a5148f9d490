"""Trajectories → examples: one for each call of a model whose three texts say something. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fettle_api.trajectories.model import LlmCall, Trajectory

MIN_CHARACTERS = 8
"""Characters that are not blank, of each of the three texts."""

Example = dict[str, Any]


@dataclass(frozen=True)
class TrajectoryExamples:
    """What one trajectory gives."""

    trajectory_id: str
    examples: tuple[Example, ...]


def choose(trajectories: Iterable[Trajectory], limit: int, min_llm_calls: int) -> Iterator[TrajectoryExamples]:
    """Examples of the first `limit` trajectories that have enough calls."""
    taken = 0
    for trajectory in trajectories:
        if len(trajectory.llm_calls) < min_llm_calls:
            continue
        if taken == limit:
            return
        taken += 1
        found = (example_of(call) for call in trajectory.llm_calls)
        yield TrajectoryExamples(trajectory.id or "", tuple(example for example in found if example is not None))


def example_of(call: LlmCall) -> Example | None:
    """System, user and assistant; None if one of them says too little."""
    texts = {"system": call.system_prompt, "user": call.user_prompt, "assistant": call.response}
    if any(len("".join(text.split())) < MIN_CHARACTERS for text in texts.values()):
        return None
    return {"messages": [{"role": role, "content": text} for role, text in texts.items()]}
