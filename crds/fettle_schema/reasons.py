"""Reasons of a TrainingJob's conditions: which condition has them, and what they mean. Pure.

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
}
"""Reason → conditions that have it, and what it means."""
