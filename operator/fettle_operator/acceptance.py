"""Whether a job can be run at all: what will never work ends it, what may come is waited for. Pure."""

from dataclasses import dataclass

from fettle_operator.builders.run_config import adapter_path
from fettle_operator.observation import Observation, parse_status
from fettle_operator.plan import Manifest
from fettle_operator.settings import OperatorSettings
from fettle_schema.errors import InvalidManifestError
from fettle_schema.failures import build_failure
from fettle_schema.reasons import Reason
from fettle_schema.status import Failure
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.validation import admit
from fettle_schema.vocabulary import FailureCode


@dataclass(frozen=True)
class Obstacle:
    """Something that a job waits for before it can be accepted."""

    reason: str
    message: str


def invalidity(job: Manifest) -> Failure | None:
    """Why the manifest can never be run; the same rules as at the API server, for whoever got around them."""
    try:
        admit({name: job[name] for name in ("apiVersion", "kind", "metadata", "spec") if name in job})
    except InvalidManifestError as error:
        return build_failure(FailureCode.CONFIGURATION, str(error))
    return None


def adapter_conflict(observation: Observation, *, is_published: bool = False) -> Failure | None:
    """Why the job may not use the name of its Adapter."""
    adapter, spec = observation.adapter, observation.spec
    if adapter is None or not makes_adapter(spec) or _is_ours(adapter, observation.uid):
        return None
    name = adapter["metadata"]["name"]
    where = f"; the files are in adapters/{name}/" if is_published else ""
    base_model = adapter["spec"]["baseModel"]["id"]
    wanted = spec.base_model.id or spec.base_model.path
    if spec.output.on_conflict == "fail":
        source = (adapter["spec"].get("source") or {}).get("trainingJob")
        owner = f"TrainingJob {source!r}" if source else "another source"
        if source == observation.name:
            owner += " (an earlier one of the same name)"
        message = f"Adapter {name!r} exists already and belongs to {owner}{where}."
        return build_failure(FailureCode.ADAPTER_CONFLICT, message)
    if base_model != wanted:
        message = f"Adapter {name!r} belongs to base model {base_model!r}, this job trains {wanted!r}{where}."
        return build_failure(
            FailureCode.ADAPTER_CONFLICT, message, hint="An Adapter keeps its base model: set spec.output.adapterName."
        )
    return None


def makes_adapter(spec: TrainingJobSpec) -> bool:
    """Whether an Adapter comes out, as opposed to a model or a report."""
    return spec.adapter.type != "none" and spec.method not in ("merge", "benchmark")


def obstacle(observation: Observation, settings: OperatorSettings) -> Obstacle | None:
    """What the job waits for before it may start."""
    namespace, queue = observation.job["metadata"]["namespace"], observation.spec.scheduling.queue
    if settings.queue_limits(queue) is None:
        known = ", ".join(sorted({"default", *settings.queues}))
        return Obstacle(Reason.QUEUE_MISSING, f"spec.scheduling.queue: there is no queue {queue!r}; there are {known}")
    if settings.requires_workspace_claim and not observation.has_claim:
        return Obstacle(Reason.WORKSPACE_MISSING, claim_message(namespace, settings.workspace_claim))
    return _source_obstacle(observation)


def _is_ours(adapter: Manifest, uid: str) -> bool:
    return (adapter["spec"].get("source") or {}).get("trainingJobUid") == uid


def claim_message(namespace: str, claim: str) -> str:
    """What is missing in a namespace without the workspace, with the command that makes it."""
    manifest = (
        '{"apiVersion":"v1","kind":"PersistentVolumeClaim",'
        f'"metadata":{{"name":"{claim}","namespace":"{namespace}"}},'
        '"spec":{"accessModes":["ReadWriteMany"],"resources":{"requests":{"storage":"100Gi"}}}}'
    )
    return (
        f"namespace {namespace!r} has no PersistentVolumeClaim {claim!r} for the workspace; make it with: "
        f"echo '{manifest}' | kubectl apply -f -"
    )


def _source_obstacle(observation: Observation) -> Obstacle | None:
    start = observation.spec.start_from
    if start is None:
        return None
    if start.adapter is not None:
        if observation.source_adapter is None:
            return Obstacle(Reason.SOURCE_MISSING, f"spec.startFrom.adapter: there is no Adapter {start.adapter!r}")
        if adapter_path(observation.source_adapter) is None:
            message = f"spec.startFrom.adapter: Adapter {start.adapter!r} has no files in the workspace yet"
            return Obstacle(Reason.SOURCE_NOT_READY, message)
        return None
    if observation.source_job is None:
        return Obstacle(
            Reason.SOURCE_MISSING, f"spec.startFrom.trainingJob: there is no TrainingJob {start.training_job!r}"
        )
    return _checkpoint_obstacle(observation.source_job, start.checkpoint or "latest")


def _checkpoint_obstacle(source: Manifest, checkpoint: str) -> Obstacle | None:
    """Status lists the newest checkpoints only: once the source has ended, the trainer looks for itself."""
    status, name = parse_status(source), source["metadata"]["name"]
    names = [known.name for known in status.checkpoints or []]
    is_there = bool(names) if checkpoint == "latest" else checkpoint in names
    if is_there or (status.phase is not None and status.phase.is_finished):
        return None
    message = f"spec.startFrom: TrainingJob {name!r} is running and has no checkpoint {checkpoint!r} yet"
    return Obstacle(Reason.SOURCE_NOT_READY, message)
