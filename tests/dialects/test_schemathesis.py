"""Requests that nobody thought of, for every operation of every dialect's document: no 5xx, no undocumented answer."""

from pathlib import Path
from typing import Any

import pytest
import requests

from fettle_api.app import DIALECTS
from fettle_client.protocol import TRAINING_JOBS
from fettle_schema.base import API_VERSION
from fettle_schema.validation import admit
from tests.support.facade import ReviewingClient
from tests.support.listening_facade import ListeningFacade, listening_facade

KNOWN = ("demo", "done", "rows", "file-1")
"""Names of things that are there: made-up names alone would only be answered with 404."""


@pytest.fixture
def facade(tmp_path: Path) -> Any:
    root = tmp_path / "workspace"
    for path in ("datasets/rows/v1", "uploads/file-1", "adapters/done/0123"):
        (root / path).mkdir(parents=True)
    (root / "datasets/rows/v1/data.jsonl").write_text('{"text": "a"}\n')
    (root / "uploads/file-1/data.jsonl").write_text('{"text": "a"}\n')
    (root / "adapters/done/0123/adapter_config.json").write_text("{}")
    with listening_facade(root, make_jobs, cache_timeout_seconds=30) as facade:
        yield facade


def make_jobs(client: ReviewingClient) -> None:
    for name, status in STATUSES.items():
        spec = {"baseModel": {"id": "a/b"}, "dataset": {"source": {"workspace": {"path": "datasets/rows"}}}}
        manifest = {"apiVersion": API_VERSION, "kind": "TrainingJob", "metadata": {"name": name}, "spec": spec}
        client.seed(TRAINING_JOBS, {**admit(manifest), "status": status})


STATUSES: dict[str, Any] = {
    "demo": {"phase": "Running"},
    "done": {
        "phase": "Succeeded",
        "completionTime": "2026-01-01T12:00:00Z",
        "output": {"kind": "adapter", "path": "adapters/done/0123", "digest": f"sha256:{'0' * 64}"},
    },
}


@pytest.mark.parametrize(
    "example_count",
    [pytest.param(15, id="few"), pytest.param(200, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_answer_is_one_that_the_document_promises(
    dialect: Any, example_count: int, facade: ListeningFacade
) -> None:
    import schemathesis  # takes seconds, which is too long for whoever only collects tests

    url = facade.urls[dialect.name]
    with requests.Session() as session:
        document = session.get(f"{url}{dialect.openapi_path}").json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=url)
        for found in schema.get_all_operations():
            check_operation(found.ok(), session, example_count)


def check_operation(operation: Any, session: requests.Session, example_count: int) -> None:
    """Well-formed requests and broken ones, about things that are there and things that are not."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    modes = [operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]
    promises = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]

    @settings(
        max_examples=example_count,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(modes), known=st.none() | st.sampled_from(KNOWN))
    def check(case: Any, known: str | None) -> None:
        if known is not None:
            case.path_parameters = dict.fromkeys(case.path_parameters or {}, known)
        case.call_and_validate(session=session, checks=promises)

    check()
