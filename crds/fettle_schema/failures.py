"""Every failure code with a sentence and what to do about it. Pure."""

from fettle_schema.status import Failure
from fettle_schema.vocabulary import FailureCode

FAILURES: dict[FailureCode, tuple[str, str]] = {
    FailureCode.CONFIGURATION: (
        "The job asks for something that is not possible.",
        "Correct the fields that the message names and create the job again; its spec cannot be changed.",
    ),
    FailureCode.DATASET: (
        "The dataset cannot be used for this method and format.",
        "Correct the rows or columns that the message names; findings.json in the job's directory lists all of them.",
    ),
    FailureCode.MODEL: (
        "The base model could not be loaded.",
        "Check spec.baseModel and whether the model lies in the workspace or on the hub; "
        "a gated model needs HF_TOKEN in the Secret of spec.credentials.secretName.",
    ),
    FailureCode.PUSH: (
        "The result is published in the workspace, but could not be pushed to the hub.",
        "Check spec.output.push and that HF_TOKEN in the Secret of spec.credentials.secretName may write there.",
    ),
    FailureCode.DISK: (
        "The workspace has no space left.",
        "Delete old jobs or adapters or enlarge the workspace claim; checkpoint.keepLast: 1 needs the least space.",
    ),
    FailureCode.OUT_OF_MEMORY: (
        "The GPU has too little memory for this job.",
        "Lower hyperparameters.batchSize or maxLength, set gradientCheckpointing, use adapter.type: qlora, "
        "or ask for a larger GPU.",
    ),
    FailureCode.OUT_OF_MEMORY_KILLED: (
        "The trainer was killed because the pod reached its memory limit.",
        "Raise spec.resources.memory, or lower hyperparameters.batchSize or maxLength.",
    ),
    FailureCode.NON_FINITE: (
        "Loss or gradient became infinite or not a number.",
        "Lower hyperparameters.learningRate, use precision: bf16 or fp32, and look for broken examples.",
    ),
    FailureCode.STALLED: (
        "The run made no progress for longer than it may.",
        "Look at the end of the log; raise limits.stallTimeoutSeconds or limits.startupTimeoutSeconds "
        "if the run was only slow.",
    ),
    FailureCode.INFRASTRUCTURE: (
        "The run failed because of its surroundings, not because of the job.",
        "Look at the log and the events of the pod; create the job again when the cause is gone.",
    ),
    FailureCode.TRAINER_ERROR: (
        "The trainer stopped with an error that it does not know.",
        "Look at the end of the log; it holds the traceback.",
    ),
    FailureCode.RETRIES_EXHAUSTED: (
        "The run failed more often than limits.maxRetries allows.",
        "Remove the cause of the last failure, or raise limits.maxRetries, and create the job again.",
    ),
    FailureCode.NO_PROGRESS: (
        "The run was taken away three times in a row before it made a step.",
        "Use nodes that are not taken away so fast, or lower checkpoint.everySteps.",
    ),
    FailureCode.IMAGE_PULL: (
        "The trainer image cannot be pulled.",
        "Check spec.runtime.image for typing errors; a private registry needs spec.runtime.imagePullSecrets.",
    ),
    FailureCode.POD_REFUSED: (
        "The pod could not be created or started.",
        "Correct what the message names: often a Secret that does not exist, a quota, a Pod Security rule, "
        "or a command that the image does not have.",
    ),
    FailureCode.DEADLINE_EXCEEDED: (
        "The job ran longer than limits.activeDeadlineSeconds.",
        "Raise the limit, or start a new job from the last checkpoint with spec.startFrom.trainingJob.",
    ),
    FailureCode.PENDING_DEADLINE_EXCEEDED: (
        "The job waited longer than limits.pendingDeadlineSeconds.",
        "Raise the limit, ask for less, or free capacity, and create the job again.",
    ),
    FailureCode.NODE_LOST: (
        "The pod disappeared without a verdict.",
        "Nothing to do: the run continues from its last checkpoint.",
    ),
    FailureCode.NAME_CONFLICT: (
        "Something else holds a name that this job needs.",
        "Delete or rename the resource that the message names, or create the job under another name.",
    ),
    FailureCode.ADAPTER_CONFLICT: (
        "An Adapter of this name exists and belongs to another job.",
        "Choose another spec.output.adapterName, set spec.output.onConflict: newVersion, or delete that Adapter.",
    ),
    FailureCode.CANCELLED: (
        "The job was cancelled.",
        "Create a new job to train again; spec.startFrom.trainingJob continues from the last checkpoint.",
    ),
}


def build_failure(
    code: FailureCode,
    message: str | None = None,
    *,
    hint: str | None = None,
    exit_code: int | None = None,
    pod: str | None = None,
    attempt: int | None = None,
) -> Failure:
    """A failure with the sentence and the hint of its code where none is given."""
    sentence, usual_hint = FAILURES[code]
    return Failure(
        code=code.value,
        message=(message or sentence)[:4096],
        hint=(hint or usual_hint)[:4096],
        exit_code=exit_code,
        pod=pod,
        attempt=attempt,
    )
