"""What every dialect can ask for: the use cases by what they are about. Put together here, written elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fettle_api.claims import Claims
from fettle_api.datasets.preview import Previews
from fettle_api.datasets.service import Datasets
from fettle_api.datasets.uploads import Uploads
from fettle_api.derivations import Derivations
from fettle_api.documents import Documents
from fettle_api.estimates import Estimator, KnownFacts
from fettle_api.jobs import Jobs
from fettle_api.logs import LogSource
from fettle_api.outbound import Outbound
from fettle_api.results import Results
from fettle_api.settings import ApiSettings
from fettle_api.store import Store
from fettle_api.submissions import Submissions
from fettle_api.workspace import Workspace
from fettle_api.workspace_writer import WorkspaceWriter
from fettle_client.protocol import ResourceClient
from fettle_schema.layout import TEMPLATES


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
    estimator: Estimator
    clock: Callable[[], datetime]


def build_service(
    settings: ApiSettings,
    client: ResourceClient,
    store: Store,
    workspace: Path,
    logs: LogSource,
    clock: Callable[[], datetime],
) -> Service:
    """The use cases over one namespace and its workspace."""
    files, writer = Workspace(workspace), WorkspaceWriter(workspace)
    previews = Previews(workspace, settings.preview_memory_bytes, settings.preview_timeout_seconds)
    outbound = Outbound(settings.allowed_outbound_hosts)
    datasets = Datasets(files, writer, previews, clock, outbound, settings.max_upload_bytes)
    claims = Claims(client, settings.namespace, clock)
    jobs, results = Jobs(store, clock), Results(store, files, logs)
    submissions = Submissions(settings, store, files, datasets.registered, claims, clock)
    return Service(
        jobs=jobs,
        submissions=submissions,
        derivations=Derivations(jobs, results, submissions),
        results=results,
        datasets=datasets,
        uploads=Uploads(files, writer),
        templates=Documents(files, writer, TEMPLATES),
        outbound=outbound,
        estimator=KnownFacts(files, settings.model_aliases),
        clock=clock,
    )
