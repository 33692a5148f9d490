"""Reasons of the conditions of TrainingJobs and Adapters: which condition has them, and what they mean. Pure.

The reason of `Failed=True` is a `FailureCode`. A pod that has not started gives PodsReady and Running its own reason,
in the words of scheduler or kubelet: Unschedulable, ImagePullBackOff, ContainerCreating, CreateContainerConfigError …
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is."""

    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    PREFLIGHT = "Preflight"
    WORKSPACE_MISSING = "WorkspaceMissing"
    QUEUE_MISSING = "QueueMissing"
    SOURCE_MISSING = "SourceMissing"
    SOURCE_NOT_READY = "SourceNotReady"
    QUEUED = "Queued"
    QUEUE_FULL = "QueueFull"
    EXCEEDS_QUEUE = "ExceedsQueue"
    ADMITTED = "Admitted"
    KUEUE = "Kueue"
    WAITING_FOR_KUEUE = "WaitingForKueue"
    NOT_CREATED = "NotCreated"
    CREATE_FORBIDDEN = "CreateForbidden"
    WAITING_FOR_CLEANUP = "WaitingForCleanup"
    PODS_PENDING = "PodsPending"
    POD_PENDING = "PodPending"
    STARTING = "Starting"
    RUNNING = "Running"
    SAVED = "Saved"
    PREEMPTED = "Preempted"
    POD_DELETED = "PodDeleted"
    RESTARTING = "Restarting"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    FINISHED = "Finished"
    SUCCEEDED = "Succeeded"

    PUBLISHED = "Published"
    VERIFIED = "Verified"
    EXAMINING = "Examining"
    EXAMINATION_FAILED = "ExaminationFailed"
    DIGEST_MISMATCH = "DigestMismatch"
    FILES_MISSING = "FilesMissing"
    FILES_INVALID = "FilesInvalid"
    HUB_UNAVAILABLE = "HubUnavailable"
    FITS = "Fits"
    SAME_NAME = "SameName"
    BASE_MODEL_MISMATCH = "BaseModelMismatch"
    NOT_SERVABLE = "NotServable"
    LOADED = "Loaded"
    LOADING = "Loading"
    NO_ENGINES = "NoEngines"
    ENGINE_UNREACHABLE = "EngineUnreachable"
    ENGINE_REFUSED = "EngineRefused"
    RANK_TOO_HIGH = "RankTooHigh"
    NAME_TAKEN = "NameTaken"
    KEY_MISSING = "KeyMissing"
    UNLOADING = "Unloading"
    NOT_REQUESTED = "NotRequested"
    NOT_MANAGED = "NotManaged"


REASONS: dict[Reason, tuple[str, str]] = {
    Reason.ACCEPTED: (
        "Accepted=True",
        "The job can be run. The message holds the preflight's warnings.",
    ),
    Reason.INVALID: (
        "Accepted=False",
        "The spec breaks a rule that the API server did not check; the job fails with ConfigurationInvalid.",
    ),
    Reason.PREFLIGHT: (
        "Accepted=False",
        "A pod without GPUs examines dataset, model and settings before anything is claimed.",
    ),
    Reason.WORKSPACE_MISSING: (
        "Accepted=False, Running=False",
        "The namespace has no claim for the workspace; the message holds the command that makes it.",
    ),
    Reason.QUEUE_MISSING: (
        "Accepted=False, Running=False",
        "There is no queue of the name in spec.scheduling.queue; the message lists those that are there.",
    ),
    Reason.SOURCE_MISSING: (
        "Accepted=False, Running=False",
        "The job or Adapter of spec.startFrom does not exist; waits until it does.",
    ),
    Reason.SOURCE_NOT_READY: (
        "Accepted=False, Running=False",
        "The job or Adapter of spec.startFrom has no checkpoint or files yet; waits until it has.",
    ),
    Reason.QUEUED: ("Admitted=False", "Waits for its queue to be looked at."),
    Reason.QUEUE_FULL: (
        "Admitted=False",
        "Others are before it; the message says its position, and how many jobs and GPUs the queue has in use.",
    ),
    Reason.EXCEEDS_QUEUE: (
        "Admitted=False",
        "Asks for more GPUs than its queue ever has; use another queue, or fewer GPUs.",
    ),
    Reason.ADMITTED: ("Admitted=True", "Its queue lets it start."),
    Reason.KUEUE: ("Admitted=True", "Left to Kueue, which decides when its Job starts."),
    Reason.WAITING_FOR_KUEUE: (
        "PodsReady=False, Running=False",
        "Kueue holds the Job back; the phase is Queued and the message Kueue's own.",
    ),
    Reason.NOT_CREATED: ("PodsReady=False", "The Job of the newest attempt is not created yet."),
    Reason.CREATE_FORBIDDEN: (
        "Running=False",
        "The API server does not let the operator create the Job now, often for a quota; it tries again.",
    ),
    Reason.WAITING_FOR_CLEANUP: (
        "Running=False",
        "Resources of an earlier job of the same name are still being removed.",
    ),
    Reason.PODS_PENDING: ("PodsReady=False, Running=False", "The Job exists and has no running pod yet."),
    Reason.POD_PENDING: (
        "PodsReady=False, Running=False",
        "The pod is starting, and scheduler and kubelet gave no reason.",
    ),
    Reason.STARTING: ("Running=False", "The newest attempt is being created, or its pods are starting."),
    Reason.RUNNING: ("PodsReady=True, Running=True", "All pods of the attempt run; status.progress says what they do."),
    Reason.SAVED: ("CheckpointAvailable=True", "The newest checkpoint, and the attempt that made it."),
    Reason.PREEMPTED: (
        "PodsReady=False, Running=False",
        "The cluster took the pod away: evicted, drained, preempted. Not a failure; another pod continues the run.",
    ),
    Reason.POD_DELETED: (
        "in messages only",
        "Somebody deleted the pod. Not a failure; the run continues.",
    ),
    Reason.RESTARTING: (
        "Running=False",
        "An attempt ended and the next one continues from its newest checkpoint; the message says why it ended.",
    ),
    Reason.SUSPENDING: ("Suspended=False", "The run is asked to save a checkpoint and stop."),
    Reason.SUSPENDED: (
        "Suspended=True; Admitted, PodsReady, Running=False",
        "Nothing runs and no GPU is held; set spec.suspend to false to continue.",
    ),
    Reason.RESUMED: ("Suspended=False", "Was suspended before."),
    Reason.STOPPING: (
        "Failed=False, Running, PodsReady=False",
        "The job will fail or be cancelled as soon as what runs has stopped.",
    ),
    Reason.STOPPED: ("Running=False", "What ran was stopped because the job ended."),
    Reason.FINISHED: ("PodsReady, Running=False", "The job has ended."),
    Reason.SUCCEEDED: ("Complete=True", "The run ended well; status.output says what came out."),
    Reason.PUBLISHED: ("ArtifactReady=True", "A run has published the files, and computed their digest."),
    Reason.VERIFIED: (
        "ArtifactReady=True",
        "The files were read again and have the digest; status.verifiedAt says when.",
    ),
    Reason.EXAMINING: (
        "ArtifactReady=Unknown",
        "A pod fetches and reads the files; the message says why if it has not started.",
    ),
    Reason.EXAMINATION_FAILED: (
        "ArtifactReady=Unknown",
        "The pod that reads the files came to no verdict; another one is started.",
    ),
    Reason.DIGEST_MISMATCH: (
        "ArtifactReady=False",
        "The files are not those of the digest: somebody changed them. They are loaded nowhere.",
    ),
    Reason.FILES_MISSING: ("ArtifactReady=False", "There are no files where the source says; it is looked for again."),
    Reason.FILES_INVALID: ("ArtifactReady=False", "The files are no PEFT adapter; the message says what is wrong."),
    Reason.HUB_UNAVAILABLE: (
        "ArtifactReady=False",
        "The hub cannot be reached, or refuses the repository of spec.source.huggingFace; it is asked again.",
    ),
    Reason.FITS: ("Compatible=True", "Trained on the base model, or every matrix fits a layer of it."),
    Reason.SAME_NAME: (
        "Compatible=True",
        "The files name spec.baseModel, whose own files could not be compared.",
    ),
    Reason.BASE_MODEL_MISMATCH: (
        "Compatible=False, Loaded=False",
        "The adapter belongs to another base model than spec.baseModel, or than the engine serves.",
    ),
    Reason.NOT_SERVABLE: (
        "Compatible=False, Loaded=False",
        "No engine can serve it beside others (DoRA, whole modules, not LoRA); merge it into the base model.",
    ),
    Reason.LOADED: ("Loaded=True", "Every engine that is ready has it."),
    Reason.LOADING: ("Loaded=Unknown", "Some engines do not have this version yet."),
    Reason.NO_ENGINES: ("Loaded=Unknown", "No pod that is ready matches spec.serving.selector."),
    Reason.ENGINE_UNREACHABLE: ("Loaded=False", "An engine does not answer; status.instances says which."),
    Reason.ENGINE_REFUSED: ("Loaded=False", "An engine refuses it; status.instances holds its words."),
    Reason.RANK_TOO_HIGH: ("Loaded=False", "The rank is over the engine's limit; start it with a larger one."),
    Reason.NAME_TAKEN: (
        "Loaded=False",
        "spec.servedName belongs to an older Adapter or to the engine's base model; choose another.",
    ),
    Reason.KEY_MISSING: ("Loaded=False", "spec.serving.apiKeyName names no key that is mounted into the operator."),
    Reason.UNLOADING: ("Loaded=Unknown", "Some engines still have it, and are asked to unload it."),
    Reason.NOT_REQUESTED: ("Loaded=False", "spec.serving.load is false."),
    Reason.NOT_MANAGED: (
        "Loaded=Unknown",
        "This installation loads nothing into engines by itself, as on one machine.",
    ),
}
"""Reason → conditions that have it, and what it means."""
