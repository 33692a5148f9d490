"""The batch Job of a preflight: as that of an attempt, on one node, without GPUs and where there is room. Pure."""

from fettle_operator.builders.job import build_job
from fettle_operator.plan import Manifest
from fettle_operator.settings import OperatorSettings
from fettle_schema.names import PREFLIGHT_ATTEMPT
from fettle_schema.training_job import ResourcesSpec, RuntimeSpec, SchedulingSpec, TrainingJobSpec

COMMAND = ["python", "-m", "fettle_trainer.preflight"]
_GRACE_PERIOD_SECONDS = 10


def build_preflight_job(job: Manifest, spec: TrainingJobSpec, settings: OperatorSettings) -> Manifest:
    """It uses the image of the run, unless that brings its own command; it reports to nobody but its exit code."""
    runtime = spec.runtime
    examined = spec.model_copy(
        update={
            "resources": ResourcesSpec(gpus_per_node=0, nodes=1),
            "scheduling": SchedulingSpec(),
            "runtime": RuntimeSpec(
                image=runtime.image if runtime.command is None else None,
                command=COMMAND,
                env=runtime.env,
                image_pull_secrets=runtime.image_pull_secrets,
                termination_grace_period_seconds=_GRACE_PERIOD_SECONDS,
            ),
        }
    )
    return build_job(job, examined, PREFLIGHT_ATTEMPT, settings.model_copy(update={"receiver_url": None}))
