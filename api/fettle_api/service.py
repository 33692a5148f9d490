"""What every dialect can ask for: the use cases by what they are about. Put together here, written elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fettle_api.adapters.activation import Activation
from fettle_api.adapters.engine import Engine
from fettle_api.adapters.registry import Adapters
from fettle_api.adapters.serving import Serving, build_serving
from fettle_api.datasets.preview import Previews
from fettle_api.datasets.service import Datasets
from fettle_api.datasets.uploads import Uploads
from fettle_api.files.base_models import BaseModels
from fettle_api.files.configurations import Configurations
from fettle_api.files.documents import Documents
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.gpus import Gpus
from fettle_api.jobs.benchmarks import Benchmarks
from fettle_api.jobs.claims import Claims
from fettle_api.jobs.derivations import Derivations
from fettle_api.jobs.estimates import Estimates
from fettle_api.jobs.lifecycle import Jobs
from fettle_api.jobs.logs import LogSource
from fettle_api.jobs.preflight import Preflight
from fettle_api.jobs.results import Results
from fettle_api.jobs.storage import JobStorage
from fettle_api.jobs.submissions import Submissions
from fettle_api.metrics import Metrics
from fettle_api.ollama.imports import OllamaImports
from fettle_api.ollama.model_files import ModelFiles
from fettle_api.outbound import Outbound
from fettle_api.progress.announcements import Announcements
from fettle_api.progress.live import LiveFeed
from fettle_api.resources.store import Store
from fettle_api.settings import ApiSettings
from fettle_api.trajectories.service import Trajectories
from fettle_client.protocol import ResourceClient
from fettle_schema.estimate.gpus import gpu_named
from fettle_schema.layout import TEMPLATES

_BENCHMARKED = frozenset({"milady"})
"""Dialects whose models are benchmarked when their jobs have succeeded: their clients cannot wait for it."""


@dataclass(frozen=True)
class Service:
    """One for all dialects."""

    jobs: Jobs
    submissions: Submissions
    derivations: Derivations
    results: Results
    datasets: Datasets
    uploads: Uploads
    templates: Documents
    outbound: Outbound
    adapters: Adapters
    serving: Serving
    live: LiveFeed
    gpus: Gpus
    base_models: BaseModels
    preflight: Preflight
    configurations: Configurations
    job_storage: JobStorage
    announcements: Announcements
    trajectories: Trajectories
    benchmarks: Benchmarks
    activation: Activation
    ollama_imports: OllamaImports
    estimates: Estimates
    clock: Callable[[], datetime]


def build_service(
    settings: ApiSettings,
    client: ResourceClient,
    store: Store,
    workspace: Path,
    logs: LogSource,
    clock: Callable[[], datetime],
    gpus: Gpus,
    metrics: Metrics,
    engine: Engine | None = None,
) -> Service:
    """The use cases over one namespace and its workspace."""
    files, writer = Workspace(workspace), WorkspaceWriter(workspace)
    previews = Previews(workspace, settings.preview_memory_bytes, settings.preview_timeout_seconds)
    outbound = Outbound(settings.allowed_outbound_hosts)
    datasets = Datasets(files, writer, previews, clock, outbound, settings.max_upload_bytes)
    claims = Claims(client, settings.namespace, clock)
    jobs, results = Jobs(store, clock), Results(store, files, logs)
    base_models = BaseModels(files, settings.model_aliases)
    submissions = Submissions(settings, store, files, datasets.registered, claims, clock)
    adapters = Adapters(client, settings.namespace, files, writer, settings.cache_timeout_seconds, metrics)
    derivations = Derivations(jobs, results, submissions)
    return Service(
        jobs=jobs,
        submissions=submissions,
        derivations=derivations,
        results=results,
        datasets=datasets,
        uploads=Uploads(files, writer, clock),
        templates=Documents(files, writer, TEMPLATES),
        outbound=outbound,
        adapters=adapters,
        serving=build_serving(settings, client, adapters, workspace, engine),
        live=LiveFeed(store, files),
        gpus=gpus,
        base_models=base_models,
        preflight=Preflight(submissions, datasets, base_models, gpus, files),
        configurations=Configurations(files, writer, str(workspace), clock),
        job_storage=JobStorage(files, writer),
        announcements=Announcements(),
        trajectories=Trajectories(files, writer, datasets, clock),
        benchmarks=Benchmarks(
            store, submissions, files, clock, settings.benchmark_wait_seconds, automatic=_BENCHMARKED
        ),
        activation=Activation(client, settings.namespace, clock),
        ollama_imports=OllamaImports(store, jobs, derivations, ModelFiles(files), base_models, outbound, clock),
        estimates=Estimates(base_models, jobs, gpu_named(settings.estimate_gpu)),
        clock=clock,
    )
