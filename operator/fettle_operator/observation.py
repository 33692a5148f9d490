"""What one reconcile looks at: everything about one job, read before anything is decided. Values only."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from fettle_operator.admission import Decision
from fettle_operator.conditions import is_finished, is_job_created, is_true
from fettle_operator.plan import Manifest
from fettle_operator.pods import is_terminal
from fettle_schema.names import LABEL_ATTEMPT, attempt_name
from fettle_schema.status import RECEIVER_FIELDS, TrainingJobStatus
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.vocabulary import ConditionType, Phase


@dataclass(frozen=True)
class Refusal:
    """The API server did not take a child."""

    message: str
    is_final: bool
    """Whether it never will: invalid, as opposed to forbidden by a quota or a policy."""


@dataclass(frozen=True)
class Observation:
    """One job and all that its next step depends on."""

    job: Manifest
    """The TrainingJob."""
    runs: tuple[Manifest, ...] = ()
    """Batch Jobs that carry its uid."""
    pods: tuple[Manifest, ...] = ()
    """Pods that carry its uid, of all attempts."""
    children: frozenset[tuple[str, str]] = frozenset()
    """Kind and name of ConfigMaps and Services of the newest attempt that exist and are ours."""
    foreign: tuple[Manifest, ...] = ()
    """Resources that hold a name of a child of the newest attempt and are not ours."""
    adapter: Manifest | None = None
    """The Adapter of the name that the job would use, whoever made it."""
    has_claim: bool = True
    """Whether the namespace has the workspace claim."""
    source_job: Manifest | None = None
    """The TrainingJob of `startFrom`."""
    source_adapter: Manifest | None = None
    """The Adapter of `startFrom`."""
    workload: Manifest | None = None
    """What Kueue keeps about the newest attempt's Job, while it holds that back."""
    admission: Decision | None = None
    """What the job's queue says, if it waits there."""
    is_blind: bool = False
    """Whether runs, pods and children were not looked for: good for creating the first attempt and nothing else."""
    refusal: Refusal | None = None
    """What the API server just said to a child."""

    @property
    def name(self) -> str:
        """Name of the job."""
        return str(self.job["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Uid of the job."""
        return str(self.job["metadata"]["uid"])

    @property
    def version(self) -> tuple[str, str]:
        """What tells it from every other job, and from itself at another time."""
        return self.uid, str(self.job["metadata"]["resourceVersion"])

    @property
    def generation(self) -> int:
        """Generation of its spec."""
        return int(self.job["metadata"].get("generation", 0))

    @cached_property
    def spec(self) -> TrainingJobSpec:
        """Its spec; raises pydantic's ValidationError if it is not one."""
        return TrainingJobSpec.model_validate(self.job["spec"])

    @cached_property
    def status(self) -> TrainingJobStatus:
        """Its status; fields that this version does not know are left out."""
        return parse_status(self.job)

    def but(self, **changes: Any) -> "Observation":
        """The same job seen together with something else; what was read of the job is not read again."""
        changed = replace(self, **changes)
        changed.__dict__.update({name: self.__dict__[name] for name in ("spec", "status") if name in self.__dict__})
        return changed

    @property
    def has_readable_spec(self) -> bool:
        """Whether the spec has the structure of one; where the CRD is older or newer it may not."""
        try:
            return self.spec is not None
        except ValidationError:
            return False

    @property
    def is_finished(self) -> bool:
        """Whether nothing may ever be started again."""
        return is_finished(self.status.conditions)

    @property
    def queue(self) -> str:
        """Name of its queue."""
        scheduling = (self.job.get("spec") or {}).get("scheduling") or {}
        return str(scheduling.get("queue") or "default")

    @property
    def needs_admission(self) -> bool:
        """Whether its queue must be asked."""
        return not self.is_finished and not is_true(self.status.conditions, ConditionType.ADMITTED)

    @property
    def is_admitted(self) -> bool:
        """Whether it holds a place in its queue."""
        return is_true(self.status.conditions, ConditionType.ADMITTED)

    @property
    def has_run(self) -> bool:
        """Whether the newest attempt has a Job."""
        return self.newest_run is not None

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether its user wants nothing of it to run."""
        spec = self.job.get("spec") or {}
        return bool(spec.get("suspend") or spec.get("cancel"))

    @property
    def is_about_to_begin(self) -> bool:
        """Whether its first attempt is numbered and not created, as far as is written down: only its Job may exist."""
        is_first = self.status.attempts is not None and self.status.attempts.current == 1
        is_wanted = is_first and self.is_admitted and not self.is_finished
        return is_wanted and not is_job_created(self.status.conditions) and self.has_readable_spec

    @property
    def is_to_be_started(self) -> bool:
        """Whether nothing was done for it, or it is about to begin."""
        status = self.job.get("status") or {}
        return not status or (status.get("phase") == Phase.STARTING and self.is_about_to_begin)

    @property
    def is_under_way(self) -> bool:
        """Whether the newest attempt was started and nothing of it has ended: its job depends on nothing else then."""
        resolved = self.status.resolved
        is_recorded = resolved is not None and resolved.config_digest is not None
        return self.is_admitted and is_recorded and self.has_run and not self.is_ending

    @property
    def is_ending(self) -> bool:
        """Whether the newest attempt has a Job of which something has ended."""
        run, attempts = self.newest_run, self.status.attempts
        if run is None or attempts is None:
            return False
        is_over = run["metadata"].get("deletionTimestamp") or (run.get("status") or {}).get("conditions")
        return bool(is_over) or any(map(is_terminal, self.pods_of(attempts.current)))

    @property
    def newest_run(self) -> Manifest | None:
        """The batch Job of the newest attempt."""
        return self.run(self.status.attempts.current) if self.status.attempts else None

    def run(self, attempt: int) -> Manifest | None:
        """The batch Job of an attempt."""
        wanted = attempt_name(self.name, attempt)
        return next((run for run in self.runs if run["metadata"]["name"] == wanted), None)

    def pods_of(self, attempt: int) -> list[Manifest]:
        """The pods of an attempt."""
        return [pod for pod in self.pods if pod["metadata"].get("labels", {}).get(LABEL_ATTEMPT) == str(attempt)]


def parse_status(job: Manifest) -> TrainingJobStatus:
    """The status of a TrainingJob; fields that this version does not know are left out."""
    known = {field.alias or name for name, field in TrainingJobStatus.model_fields.items()}
    return TrainingJobStatus.model_validate({k: v for k, v in (job.get("status") or {}).items() if k in known})


def operator_fields(status: dict[str, Any]) -> dict[str, Any]:
    """A status without the fields of the receiver."""
    return {name: value for name, value in status.items() if name not in RECEIVER_FIELDS}
