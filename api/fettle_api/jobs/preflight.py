"""What can be known about a job before it is submitted. Facts only: what is an error is the dialect's to say.

Nothing is guessed: where a model's configuration is unknown there is no claim about memory, where nobody can see the
GPUs there is none about them, and a dataset of the hub is not looked at.
"""

import asyncio
from dataclasses import dataclass

from fettle_api.datasets.service import Datasets
from fettle_api.datasets.views import ModelTemplate
from fettle_api.errors import BodyError, DatasetRefusedError, FileMissingError
from fettle_api.files.base_models import BaseModels
from fettle_api.files.workspace import Workspace
from fettle_api.gpus import Gpus, GpuView
from fettle_api.jobs.submissions import Submissions
from fettle_api.resources.models import JobRequest
from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.errors import FieldError, InvalidManifestError
from fettle_schema.estimate.errors import EstimateError
from fettle_schema.estimate.gpus import Gpu
from fettle_schema.estimate.job_estimate import JobEstimate, estimate_job
from fettle_schema.training_job import TrainingJobSpec

_EXAMPLES = 3
_BYTES_OF_WEIGHT = 2
_BYTES_OF_TRAINED_WEIGHT = 12
"""In a checkpoint: the weight and two moments, in fp32 at most."""
_LEAST_BYTES = 256 * 1024 * 1024
"""Room for logs and the dataset as the trainer keeps it."""


@dataclass(frozen=True)
class JobFacts:
    """What is known about one request."""

    spec: TrainingJobSpec | None
    """What it asks for; None if the rules refuse it."""
    findings: tuple[FieldError, ...]
    """What the rules refuse."""
    gpus: tuple[GpuView, ...] | None
    """None if nobody can say."""
    model_is_present: bool
    """The workspace has the base model."""
    estimate: JobEstimate | None
    """Of memory; None if nothing is known of the model."""
    free_bytes: int
    """Room in the workspace."""
    needed_bytes: int
    """What checkpoints and results take at least."""
    dataset_problem: str | None
    """Why the first rows cannot be trained on; None also where they cannot be looked at."""


class Preflight:
    """Gathers facts. Creates nothing."""

    def __init__(
        self,
        submissions: Submissions,
        datasets: Datasets,
        base_models: BaseModels,
        gpus: Gpus,
        workspace: Workspace,
    ) -> None:
        self._submissions, self._datasets, self._base_models = submissions, datasets, base_models
        self._gpus, self._workspace = gpus, workspace

    async def facts(self, request: JobRequest, *, look_at_rows: bool = True) -> JobFacts:
        """All there is to know about a request."""
        spec: TrainingJobSpec | None = None
        findings: tuple[FieldError, ...] = ()
        try:
            spec = await self._submissions.check(request)
        except InvalidManifestError as error:
            findings = tuple(error.errors)
        gpus = await self._gpus.all()
        model = request.base_model or ""
        estimate = await self._estimate(spec, model, gpus) if spec else None
        is_present = await self._base_models.is_present(model)
        return JobFacts(
            spec=spec,
            findings=findings,
            gpus=None if gpus is None else tuple(gpus),
            model_is_present=is_present,
            estimate=estimate,
            free_bytes=await asyncio.to_thread(self._workspace.free_bytes),
            needed_bytes=_needed_bytes(spec, estimate, is_present),
            dataset_problem=await self._dataset_problem(spec, model) if spec and look_at_rows else None,
        )

    async def model_template(self, model: str) -> ModelTemplate | None:
        """The chat template of a model that the workspace has."""
        try:
            found = await self._base_models.tokenizer(model)
        except (FileMissingError, BodyError):
            return None
        return ModelTemplate(found.chat_template, found.special_tokens) if found.chat_template else None

    async def _estimate(self, spec: TrainingJobSpec, model: str, gpus: list[GpuView] | None) -> JobEstimate | None:
        config = await self._base_models.config(model)
        if config is None:
            return None
        try:
            return estimate_job(spec, config, gpu=_as_gpu(gpus[0]) if gpus else None, model=model)
        except EstimateError:
            return None

    async def _dataset_problem(self, spec: TrainingJobSpec, model: str) -> str | None:
        dataset = spec.dataset
        if dataset is None or dataset.source.hugging_face is not None:
            return None
        template = await self.model_template(model)
        try:
            if dataset.template.name == "tokenizer" and template is None:
                await self._datasets.preview_source(dataset.source, _EXAMPLES)
            else:
                await self._datasets.preview_formatted(dataset, spec.method, _EXAMPLES, template)
        except DatasetRefusedError as error:
            return str(error)
        return None


def _as_gpu(gpu: GpuView) -> Gpu:
    """What an estimate of memory needs of a GPU; its speed is not asked for."""
    capability = float(gpu.compute_capability) if gpu.compute_capability else 8.0
    return Gpu(gpu.name, gpu.memory_total_bytes, 1.0, has_bf16=capability >= 8.0)


def _needed_bytes(spec: TrainingJobSpec | None, estimate: JobEstimate | None, model_is_present: bool) -> int:
    """Checkpoints that are kept, one more while it is written, the result, and a model that is yet to be fetched."""
    if spec is None or estimate is None:
        return _LEAST_BYTES
    trained, all_weights = estimate.trained_parameters, estimate.shape.parameters
    kept = trained * _BYTES_OF_TRAINED_WEIGHT * (spec.checkpoint.keep_last + 1)
    result = _BYTES_OF_WEIGHT * (all_weights if spec.adapter.type is AdapterType.NONE else trained)
    fetched = 0 if model_is_present else all_weights * _BYTES_OF_WEIGHT
    return _LEAST_BYTES + kept + result + fetched
