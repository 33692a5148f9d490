"""What to do next for one Adapter: from what is observed to a Plan. Pure, idempotent, right after a crash anywhere."""

from datetime import datetime

from fettle_operator.adapters.draft import AdapterDraft
from fettle_operator.adapters.examination import examine
from fettle_operator.adapters.loading import forget_verification, report_deletion, report_loading
from fettle_operator.adapters.observation import AdapterObservation
from fettle_operator.plan import Plan
from fettle_operator.settings import OperatorSettings


def reconcile_adapter(observation: AdapterObservation, now: datetime, settings: OperatorSettings) -> Plan:
    """The next step of one Adapter: files first, then engines; a deletion waits for engines only."""
    draft = AdapterDraft(observation, now, settings)
    if observation.deleted_at is not None:
        if not observation.has_finalizer:
            return draft.plan
        report_deletion(draft)
        return draft.finish()
    forget_verification(draft)
    examine(draft)
    report_loading(draft)
    return draft.finish()
