"""What the pods and the user of a job do in a seeded run, and what must come of it. Values only."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Story:
    """How each attempt ends, by exit code; None is an attempt that runs until the user acts."""

    exit_codes: tuple[int | None, ...]
    phase: str
    failures: int = 0
    preemptions: int = 0
    edits: tuple[tuple[str, dict[str, Any]], ...] = ()
    """What the user changes in the spec when the job has reached a phase, one after another."""
    spec: tuple[tuple[str, Any], ...] = ()

    @property
    def attempts(self) -> int:
        """How many there are."""
        return len(self.exit_codes)


FAILS_THEN_SUCCEEDS = "fails-then-succeeds"
STORIES: dict[str, Story] = {
    "succeeds": Story((0,), "Succeeded"),
    FAILS_THEN_SUCCEEDS: Story((75, 0), "Succeeded", failures=1),
    "is-preempted": Story((85, 0), "Succeeded", preemptions=1),
    "fails-for-good": Story((71,), "Failed"),
    "has-no-retries-left": Story((75, 75), "Failed", failures=2, spec=(("limits", {"maxRetries": 1}),)),
    "is-suspended-and-resumed": Story(
        (None, 0), "Succeeded", edits=(("Running", {"suspend": True}), ("Suspended", {"suspend": False}))
    ),
    "is-cancelled": Story((None,), "Cancelled", edits=(("Running", {"cancel": True}),)),
}
