"""The answers of Milady's API, field by field, for its OpenAPI document. Nothing is validated with these models.

Times are milliseconds since 1970.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["queued", "running", "completed", "failed", "cancelled"]
Phase = Literal["starting", "loading_data", "preparing_samples", "training", "validating", "finalizing", "completed"]
Backend = Literal["mlx", "cuda", "cpu"]


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, title=None)


class ErrorAnswer(_Answer):
    """Every error."""

    error: str


class StatusAnswer(_Answer):
    """The training service."""

    available: bool
    backend: Backend
    runtimeAvailable: bool
    activeJobId: str | None
    runningJobs: int
    queuedJobs: int
    completedJobs: int
    failedJobs: int
    modelCount: int
    datasetCount: int


class TrajectoryRow(_Answer):
    """A trajectory without its texts."""

    id: str
    trajectoryId: str
    agentId: str
    archetype: str | None
    source: str
    status: str
    llmCallCount: int
    hasLlmCalls: bool
    startTime: int | None
    endTime: int | None
    createdAt: int
    totalReward: float | None
    aiJudgeReward: float | None
    episodeLength: int | None


class TrajectoriesAnswer(_Answer):
    """Trajectories, the newest first."""

    available: bool
    trajectories: list[TrajectoryRow]
    total: int
    offset: int
    limit: int


class LlmCallDetail(_Answer):
    """A call of a model."""

    id: str | None
    model: str | None
    systemPrompt: str
    userPrompt: str
    response: str
    temperature: float | None
    maxTokens: int | None
    purpose: str | None
    latencyMs: float | None
    promptTokens: int | None
    completionTokens: int | None
    timestamp: int | None


class ProviderAccessDetail(_Answer):
    """Something that the agent looked up."""

    id: str | None
    providerName: str | None
    purpose: str | None
    data: Any
    query: Any
    timestamp: int | None


class TrajectoryDetail(TrajectoryRow):
    """A whole trajectory."""

    llmCalls: list[LlmCallDetail]
    providerAccesses: list[ProviderAccessDetail]
    stepsJson: str


class TrajectoryAnswer(_Answer):
    """One trajectory."""

    trajectory: TrajectoryDetail


class ScrubbedCounts(_Answer):
    """What was taken out of the texts."""

    secrets: int
    emails: int


class IngestedAnswer(_Answer):
    """Trajectories that were taken in."""

    ids: list[str]
    trajectories: list[TrajectoryRow]
    received: int
    created: int
    updated: int
    duplicates: int
    scrubbed: ScrubbedCounts


class DatasetDetail(_Answer):
    """A dataset that was built from trajectories."""

    id: str
    createdAt: int
    trajectoryCount: int
    exampleCount: int
    sampleCount: int
    jsonlPath: str


class DatasetAnswer(_Answer):
    """One dataset."""

    dataset: DatasetDetail


class DatasetsAnswer(_Answer):
    """Built datasets, the newest first."""

    datasets: list[DatasetDetail]


class JobDetail(_Answer):
    """A training job."""

    id: str
    status: Status
    phase: Phase
    progress: float
    currentIteration: int
    totalIterations: int
    loss: float | None
    datasetId: str | None
    backend: Backend
    model: str
    createdAt: int
    startedAt: int | None
    completedAt: int | None
    error: str | None
    outputDir: str
    adapterPath: str | None
    modelId: str | None
    logs: list[str]
    options: dict[str, Any]


class JobAnswer(_Answer):
    """One job."""

    job: JobDetail


class JobsAnswer(_Answer):
    """All jobs, the newest first; logs are left out."""

    jobs: list[JobDetail]


class BenchmarkState(_Answer):
    """Whether a model was benchmarked."""

    status: Literal["not_run", "passed", "failed"]
    lastRunAt: int | None
    output: str | None


class ModelDetail(_Answer):
    """A fine-tuned model."""

    id: str
    jobId: str
    name: str
    createdAt: int
    active: bool
    outputDir: str
    adapterPath: str | None
    sourceModel: str
    backend: Backend
    ollamaModel: str | None
    benchmark: BenchmarkState


class ModelsAnswer(_Answer):
    """Fine-tuned models, the newest first."""

    models: list[ModelDetail]


class ImportedModel(ModelDetail):
    """A model that is in Ollama."""

    ollamaName: str
    importedAt: int


class ImportedAnswer(_Answer):
    """An import that is done."""

    model: ImportedModel


class ActivatedAnswer(_Answer):
    """The model that is active now, as its provider calls it."""

    ok: Literal[True]
    activeModel: str


class ScoresDetail(_Answer):
    """Each between 0 and 1; null where the data cannot say."""

    coherence: float | None
    consistency: float | None
    helpfulness: float | None


class BenchmarkAnswer(_Answer):
    """Scores of a model: see docs/scores.md."""

    modelId: str
    scores: ScoresDetail
    completedAt: int
    status: Literal["passed"]
    output: str
