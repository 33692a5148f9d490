"""The working copy of one pass over an Adapter: what was observed, the status as it will be, and the plan. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

from fettle_operator import conditions
from fettle_operator.adapters.conditions import adapter_phase
from fettle_operator.adapters.observation import AdapterObservation, is_current
from fettle_operator.conditions import Status
from fettle_operator.plan import Plan
from fettle_operator.settings import OperatorSettings
from fettle_schema.adapter import AdapterSpec, AdapterStatus
from fettle_schema.names import FINALIZER_LOADED
from fettle_schema.status import Condition
from fettle_schema.vocabulary import AdapterConditionType


@dataclass
class AdapterDraft:
    """Steps of reconcile change `status` and `plan`; nothing else is ever changed."""

    observation: AdapterObservation
    now: datetime
    settings: OperatorSettings
    status: AdapterStatus = field(init=False)
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        self.status = self.observation.status.model_copy(deep=True)

    @property
    def spec(self) -> AdapterSpec:
        """The Adapter's spec."""
        return self.observation.spec

    @property
    def is_current(self) -> bool:
        """Whether the status describes the files that the spec means."""
        return is_current(self.spec, self.status)

    def set(self, condition_type: AdapterConditionType, status: Status, reason: str, message: str = "") -> None:
        """Set one condition."""
        self.status.conditions = conditions.set_condition(
            self.status.conditions,
            condition_type,
            status,
            reason,
            message[:4096],
            now=self.now,
            generation=self.observation.generation,
        )

    def find(self, condition_type: AdapterConditionType) -> Condition | None:
        """One condition."""
        return conditions.find(self.status.conditions, condition_type)

    def holds(self, condition_type: AdapterConditionType) -> bool:
        """Whether a condition is true."""
        return conditions.is_true(self.status.conditions, condition_type)

    def put_finalizer(self, is_wanted: bool) -> None:
        """Add or take away the finalizer."""
        adapter = self.observation.adapter
        kept = [name for name in adapter["metadata"].get("finalizers") or [] if name != FINALIZER_LOADED]
        finalizers = [*kept, FINALIZER_LOADED] if is_wanted else kept
        without_status = {name: value for name, value in adapter.items() if name != "status"}
        self.plan.replace.append({**without_status, "metadata": {**adapter["metadata"], "finalizers": finalizers}})

    def finish(self) -> Plan:
        """The plan with the status, if it changed. A resource that is replaced gets its status in the next pass."""
        self.status.phase, self.status.reason, message = adapter_phase(self.status.conditions)
        self.status.message = message[:4096]
        self.status.observed_generation = self.observation.generation
        for condition in self.status.conditions:
            condition.observed_generation = self.observation.generation
        before, after = self.observation.status.manifest(), self.status.manifest()
        self.plan.status = None if before == after or self.plan.replace else after
        return self.plan
