"""What Kueue says about a Job that it holds back. Pure; decides nothing."""

from fettle_operator.plan import Manifest

LABEL_JOB_UID = "kueue.x-k8s.io/job-uid"
"""On a Workload: the uid of the batch Job that it stands for."""


def waiting_story(run: Manifest, workload: Manifest | None) -> str:
    """Kueue's own reason; without a Workload, what may be amiss."""
    queue = (run["metadata"].get("labels") or {}).get("kueue.x-k8s.io/queue-name")
    about = f"Kueue's queue {queue!r}"
    if workload is None:
        return f"{about}: Job {run['metadata']['name']!r} has no Workload yet; without one, Kueue is not at work here"
    conditions = {c["type"]: c for c in (workload.get("status") or {}).get("conditions") or []}
    for condition_type in ("QuotaReserved", "Admitted"):
        condition = conditions.get(condition_type) or {}
        if condition.get("status") == "False" and condition.get("message"):
            return f"{about}: {condition['message']}"
    return f"{about}: the Workload {workload['metadata']['name']!r} is not admitted yet"
