from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import BaseRoute

from fettle_api.app import DIALECTS
from fettle_api.dialects.dialect import Dialect
from fettle_api.identity.access import EVERYTHING, Access, access_of
from tests.support.facade import running_facade


@pytest.mark.parametrize(
    ("method", "template", "needed"),
    [
        ("GET", "/api/training/jobs", "list trainingjobs"),
        ("POST", "/api/training/jobs", "create trainingjobs"),
        ("GET", "/api/training/jobs/{job_id}", "get trainingjobs"),
        ("DELETE", "/api/training/jobs/{job_id}", "delete trainingjobs"),
        ("DELETE", "/jobs", "deletecollection trainingjobs"),
        ("GET", "/api/training/jobs/{job_id}/logs", "get trainingjobs/log"),
        ("GET", "/api/training/jobs/{job_id}/output/{file_name:path}", "get trainingjobs/output"),
        ("POST", "/api/training/jobs/{job_id}/cancel", "create trainingjobs/cancel"),
        ("POST", "/api/training/stop/{job_id}", "create trainingjobs/cancel"),
        ("POST", "/api/training/estimate", "create trainingjobs/estimate"),
        ("POST", "/api/training/start", "create trainingjobs"),
        ("GET", "/api/training/templates", "list templates"),
        ("POST", "/api/datasets/upload", "create datasets"),
        ("GET", "/api/datasets/{dataset_id}/preview", "get datasets/preview"),
        ("POST", "/dataset/preview", "create datasets/preview"),
        ("GET", "/api/training/trajectories/{id}", "get trajectories"),
        ("POST", "/api/training/models/{id}/activate", "create adapters/activate"),
        ("POST", "/api/adapters/{name}/load", "create adapters/load"),
        ("POST", "/chat/completions", "create adapters/chat"),
        ("GET", "/gpu/{index}", "get gpus"),
        ("PUT", "/configs/{name}", "update configurations"),
        ("GET", "/fine_tuning/jobs/{fine_tuning_job_id}/events", "get trainingjobs/log"),
        ("DELETE", "/files/{file_id}", "delete datasets"),
        ("WEBSOCKET", "/ws/{job_id}", "watch trainingjobs"),
        ("WEBSOCKET", "/ws", "watch trainingjobs"),
        ("GET", "/something/new", "* *"),
        ("TRACE", "/jobs", "* trainingjobs"),
    ],
)
def test_a_route_needs_a_right(method: str, template: str, needed: str) -> None:
    assert str(access_of(method, template)) == needed


@pytest.mark.parametrize("template", ["/", "/health", "/api/health", "/version", "/docs", "/openapi.json", "/api/docs"])
def test_what_everybody_may_see_whom_the_facade_knows(template: str) -> None:
    assert access_of("GET", template) is None


def test_a_parameter_is_never_taken_for_a_word() -> None:
    assert access_of("GET", "/jobs/{health}") == Access("get", "trainingjobs")
    assert access_of("GET", "/{logs}") == EVERYTHING


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_every_route_of_every_dialect_is_known(dialect: Dialect, tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        (routes,) = [found for mount, found in guarded(facade.app.router.routes) if mount == dialect.mount_path]
    assert routes
    for route in routes:
        for method in getattr(route, "methods", None) or {"WEBSOCKET"}:
            path = getattr(route, "path", "")
            assert path, f"{route!r} has no path of its own: add it to the dialect's router itself"
            assert access_of(method, path) != EVERYTHING, f"{method} {path}: add one of its words to identity/access.py"


def guarded(routes: list[BaseRoute]) -> Iterator[tuple[str, list[BaseRoute]]]:
    """Each mounted application's prefix, and the routes that its guard looks at."""
    for route in routes:
        application = getattr(getattr(route, "app", None), "application", None)  # put together when it is called
        for layer in getattr(application, "user_middleware", []):
            if "routes" in layer.kwargs:
                yield str(getattr(route, "path", "")), list(layer.kwargs["routes"])
