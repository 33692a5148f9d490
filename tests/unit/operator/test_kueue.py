import pytest

from fettle_operator.kueue import waiting_story

RUN = {"metadata": {"name": "demo-a1", "labels": {"kueue.x-k8s.io/queue-name": "team"}}}
NO_QUOTA = {"type": "QuotaReserved", "status": "False", "message": "insufficient unused quota for cpu"}
RESERVED = {"type": "QuotaReserved", "status": "True", "message": "Quota reserved in ClusterQueue all"}
CHECKED = {"type": "Admitted", "status": "False", "message": "The workload has not passed its admission checks"}
PREEMPTED = {"type": "Evicted", "status": "True", "reason": "Preempted", "message": "Preempted to accommodate another"}


@pytest.mark.parametrize(
    ("conditions", "story"),
    [
        ([], "Kueue's queue 'team': the Workload 'job-demo-a1-1f2e3' is not admitted yet"),
        ([NO_QUOTA], "Kueue's queue 'team': insufficient unused quota for cpu"),
        ([RESERVED, CHECKED], "Kueue's queue 'team': The workload has not passed its admission checks"),
        ([PREEMPTED, NO_QUOTA, CHECKED], "Kueue's queue 'team': insufficient unused quota for cpu"),
    ],
)
def test_the_story_is_kueues_own(conditions: list[dict[str, str]], story: str) -> None:
    workload = {"metadata": {"name": "job-demo-a1-1f2e3"}, "status": {"conditions": conditions}}
    assert waiting_story(RUN, workload) == story


def test_without_a_workload_it_says_what_may_be_amiss() -> None:
    assert waiting_story(RUN, None) == (
        "Kueue's queue 'team': Job 'demo-a1' has no Workload yet; without one, Kueue is not at work here"
    )
