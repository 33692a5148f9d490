"""Seeded runs of the operator's process behind a faulty proxy, killed again and again: nothing is lost or doubled."""

from pathlib import Path

import pytest

from tests.faults.plan import WRITES_OF_A_LIFE
from tests.faults.run import Outcome, play_seeds, stage

SEEDS = 30
ALL_SEEDS = 300
AT_ONCE = 10
SHORTEST_LIFE = 9
"""Writes of a job that fails and then succeeds, where the operator never saw it wait or run."""


async def test_thirty_seeded_runs_lose_nothing_and_do_nothing_twice(cluster: Path, tmp_path: Path) -> None:
    outcomes = await runs(cluster, tmp_path, range(SEEDS))
    killed = {(kill.write, kill.when) for outcome in outcomes for kill in outcome.killed if kill.job == "a"}
    assert {(write, when) for write in range(1, SHORTEST_LIFE + 1) for when in ("before", "after")} <= killed
    assert SHORTEST_LIFE <= WRITES_OF_A_LIFE
    seen = {name for outcome in outcomes for name in outcome.faults}
    assert seen >= {"CONFLICT", "OVERLOADED", "BROKEN", "LOST_REQUEST", "LOST_ANSWER", "SLOW", "TOO_OLD"}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(SEEDS, ALL_SEEDS, SEEDS))
async def test_three_hundred_seeded_runs_do_not_either(cluster: Path, tmp_path: Path, first: int) -> None:
    await runs(cluster, tmp_path, range(first, first + SEEDS))


async def runs(cluster: Path, folder: Path, seeds: range) -> list[Outcome]:
    """The outcomes, all of them well; else the failing seeds, and how to see each again."""
    async with stage(cluster) as shared:
        outcomes = await play_seeds(shared, list(seeds), folder, AT_ONCE)
    bad = [outcome for outcome in outcomes if outcome.problems]
    for outcome in bad:
        print(outcome, outcome.log[-6000:], sep="\n")
    again = "again by: python -m tests.faults " + " ".join(str(outcome.plan.seed) for outcome in bad)
    assert not bad, "\n".join([*map(str, bad), again])
    return outcomes
