"""The working copy of one pass: what was observed, the status as it will be, and the plan so far. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fettle_operator import conditions
from fettle_operator.conditions import Status
from fettle_operator.observation import Observation, operator_fields
from fettle_operator.plan import Deletion, Manifest, Plan
from fettle_operator.pods import is_live, parse_time
from fettle_operator.settings import OperatorSettings
from fettle_operator.verdict import Patience, is_ended
from fettle_schema.reasons import Reason
from fettle_schema.status import Attempts, Condition, TrainingJobStatus
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.vocabulary import ConditionType

_WITHOUT_A_POD = frozenset({Reason.NOT_CREATED, Reason.PODS_PENDING, Reason.WAITING_FOR_KUEUE})
"""Reasons of PodsReady by which no pod of the attempt was seen yet."""


@dataclass
class Draft:
    """Steps of reconcile change `status` and `plan`; nothing else is ever changed."""

    observation: Observation
    now: datetime
    settings: OperatorSettings
    status: TrainingJobStatus = field(init=False)
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self) -> None:
        self.status = self.observation.status.model_copy(deep=True)

    @property
    def spec(self) -> TrainingJobSpec:
        """The job's spec."""
        return self.observation.spec

    @property
    def attempts(self) -> Attempts:
        """Counts; created when first used."""
        if self.status.attempts is None:
            self.status.attempts = Attempts()
        return self.status.attempts

    @property
    def attempt(self) -> int:
        """Number of the newest attempt; 0 before the first."""
        return self.status.attempts.current if self.status.attempts else 0

    @property
    def run(self) -> Manifest | None:
        """The Job of the newest attempt."""
        return self.observation.run(self.attempt)

    @property
    def patience(self) -> Patience:
        """How long things may take."""
        return Patience(self.settings.pod_start_timeout_seconds, self.settings.lost_pod_seconds, self._replaced_since())

    @property
    def live_pods(self) -> list[Manifest]:
        """Pods of any attempt that may still be at work."""
        return [pod for pod in self.observation.pods if is_live(pod, self.now, self.settings.lost_pod_seconds)]

    def set(self, condition_type: ConditionType, status: Status, reason: str, message: str = "") -> None:
        """Set one condition."""
        self.status.conditions = conditions.set_condition(
            self.status.conditions,
            condition_type,
            status,
            reason,
            message,
            now=self.now,
            generation=self.observation.generation,
        )

    def find(self, condition_type: ConditionType) -> Condition | None:
        """One condition."""
        return conditions.find(self.status.conditions, condition_type)

    def holds(self, condition_type: ConditionType) -> bool:
        """Whether a condition is true."""
        return conditions.is_true(self.status.conditions, condition_type)

    def stop_run(self) -> bool:
        """Delete every Job that has not ended. True when nothing of the job is at work any more."""
        unfinished = [run for run in self.observation.runs if not is_ended(run)]
        for run in unfinished:
            metadata = run["metadata"]
            if not metadata.get("deletionTimestamp"):
                self.plan.delete.append(Deletion("Job", metadata["name"], metadata["uid"], "Foreground"))
        if not unfinished and not self.live_pods:
            return True
        # A Job that waits for a pod that will never answer stays; its pods are given up, so the job goes on.
        only_lost_pods = bool(self.observation.pods) and not self.live_pods and not self.plan.delete
        if not only_lost_pods:
            self.plan.look_again(self.settings.source_check_seconds)
        return only_lost_pods

    def _replaced_since(self) -> datetime | None:
        """Since when pods of the newest attempt that were seen are gone, as far as was written down."""
        ready, run = self.find(ConditionType.PODS_READY), self.run
        if ready is None or run is None or ready.reason in _WITHOUT_A_POD:
            return None
        created = parse_time(run["metadata"].get("creationTimestamp"))
        ran = created is not None and ready.last_transition_time - created > timedelta(seconds=1)
        return ready.last_transition_time if ran and ready.status == "False" else self.now

    def finish(self) -> Plan:
        """The plan with the status, if it changed."""
        self.status.phase, self.status.reason, message = conditions.phase(self.status.conditions)
        self.status.message = message[:4096]
        self.status.observed_generation = self.observation.generation
        if self.status.attempts is not None:
            self.status.attempts.restarts = max(0, self.status.attempts.current - 1)
        before, after = (operator_fields(s.manifest()) for s in (self.observation.status, self.status))
        self.plan.status = None if before == after else after
        return self.plan
