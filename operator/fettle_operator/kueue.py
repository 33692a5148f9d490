"""What Kueue says about a Job that it holds back. Pure; decides nothing."""

from fettle_operator.plan import Manifest

LABEL_JOB_UID = "kueue.x-k8s.io/job-uid"
"""On a Workload: the uid of the batch Job that it stands for."""


def own_reason(workload: Manifest | None) -> str | None:
    """Why Kueue holds it back, in its own words; None while it has not said so."""
    conditions = {c["type"]: c for c in ((workload or {}).get("status") or {}).get("conditions") or []}
    for condition_type in ("QuotaReserved", "Admitted"):
        condition = conditions.get(condition_type) or {}
        if condition.get("status") == "False" and condition.get("message"):
            return str(condition["message"])
    return None


def waiting_story(run: Manifest, workload: Manifest | None) -> str:
    """What the job is told: Kueue's own reason; without a Workload, what may be amiss."""
    queue = (run["metadata"].get("labels") or {}).get("kueue.x-k8s.io/queue-name")
    about = f"Kueue's queue {queue!r}"
    if workload is None:
        return f"{about}: Job {run['metadata']['name']!r} has no Workload yet; without one, Kueue is not at work here"
    undecided = f"the Workload {workload['metadata']['name']!r} is not admitted yet"
    return f"{about}: {own_reason(workload) or undecided}"
