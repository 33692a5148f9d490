"""Conditions and the phase derived from them."""

from datetime import UTC, datetime, timedelta

import pytest

from fettle_operator.conditions import phase, set_condition
from fettle_schema.reasons import Reason
from fettle_schema.status import Condition
from fettle_schema.vocabulary import ConditionType

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def conditions(**types: str) -> list[Condition]:
    """`Failed="True Cancelled"` and the like."""
    return [
        Condition(
            type=name, status=text.split()[0], reason=text.split()[1], message=f"about {name}", last_transition_time=NOW
        )
        for name, text in types.items()
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (conditions(), ("Pending", "Pending")),
        (conditions(Accepted="False WorkspaceMissing"), ("Pending", "WorkspaceMissing")),
        (conditions(Accepted="True Accepted", Admitted="False QueueFull"), ("Queued", "QueueFull")),
        (conditions(Admitted="True Admitted"), ("Starting", "Admitted")),
        (conditions(Admitted="True Admitted", PodsReady="False PodsPending"), ("Starting", "PodsPending")),
        (
            conditions(Admitted="True Admitted", PodsReady=f"False {Reason.NOT_CREATED}", Running="False Restarting"),
            ("Starting", "Restarting"),
        ),
        (
            conditions(Admitted="True Kueue", PodsReady=f"False {Reason.WAITING_FOR_KUEUE}"),
            ("Queued", Reason.WAITING_FOR_KUEUE),
        ),
        (conditions(Admitted="True Admitted", Running="True Running"), ("Running", "Running")),
        (conditions(Running="True Running", Suspended="False Suspending"), ("Running", "Running")),
        (conditions(Suspended="True Suspended", Admitted="False Suspended"), ("Suspended", "Suspended")),
        (conditions(Running="True Running", Complete="True Succeeded"), ("Succeeded", "Succeeded")),
        (conditions(Failed="False Stopping", Running="True Stopping"), ("Running", "Stopping")),
        (conditions(Failed="True DiskFull", Complete="False Never"), ("Failed", "DiskFull")),
        (conditions(Suspended="True Suspended", Failed="True Cancelled"), ("Cancelled", "Cancelled")),
    ],
)
def test_phase_follows_from_all_conditions(given: list[Condition], expected: tuple[str, str]) -> None:
    assert phase(given)[:2] == expected
    assert phase(given[::-1])[:2] == expected


def test_the_transition_time_moves_only_with_the_status() -> None:
    later = NOW + timedelta(minutes=1)
    first = set_condition([], ConditionType.RUNNING, "False", "Starting", "a", now=NOW, generation=1)
    second = set_condition(first, ConditionType.RUNNING, "False", "Waiting", "b", now=later, generation=2)
    third = set_condition(second, ConditionType.RUNNING, "True", "Running", "c", now=later, generation=2)
    assert [c[0].last_transition_time for c in (first, second, third)] == [NOW, NOW, later]
    assert (second[0].reason, second[0].message, second[0].observed_generation) == ("Waiting", "b", 2)


def test_other_conditions_are_kept_in_place() -> None:
    before = conditions(Accepted="True Accepted", Admitted="False QueueFull")
    after = set_condition(before, ConditionType.ACCEPTED, "False", "Invalid", "", now=NOW, generation=1)
    assert [c.type for c in after] == ["Accepted", "Admitted"]
    assert after[1] is before[1]
