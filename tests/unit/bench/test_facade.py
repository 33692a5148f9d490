"""The parts of `make bench-facade` that decide something."""

from typing import Any

import pytest

from fettle_api.resources.views import view_job
from fettle_schema.validation import admit
from tests.bench.facade_jobs import is_ended, job_name, status_of, training_job
from tests.bench.facade_sockets import Arrivals
from tests.bench.facade_world import count_requests

METRICS = """# TYPE apiserver_request_total counter
apiserver_request_total{code="200",group="fettle.dev",resource="trainingjobs",scope="namespace",verb="LIST"} 3
apiserver_request_total{code="410",group="fettle.dev",resource="trainingjobs",scope="namespace",verb="LIST"} 1
apiserver_request_total{code="200",group="fettle.dev",resource="trainingjobs",scope="namespace",verb="WATCH"} 7
apiserver_request_total{code="200",group="fettle.dev",resource="adapters",scope="namespace",verb="LIST"} 9
"""


def test_lists_are_counted_whatever_was_answered() -> None:
    assert count_requests(METRICS, "LIST", "trainingjobs") == 4
    assert count_requests(METRICS, "LIST", "pods") == 0


@pytest.mark.parametrize("number", range(25))
def test_jobs_are_such_as_the_api_server_lets_in(number: int) -> None:
    manifest: dict[str, Any] = admit(training_job(number, "default"))
    manifest["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z"}
    view = view_job({**manifest, "status": status_of(number, "u")})
    assert view.is_finished == is_ended(number)
    assert view.name == job_name(number)
    assert view.original_id is not None


def test_a_step_has_arrived_when_both_of_its_messages_have() -> None:
    arrivals = Arrivals()
    arrivals.add(0, {"type": "status_update", "status": "training"}, 1.0)
    arrivals.add(0, {"type": "metrics", "step": 5}, 2.0)
    arrivals.add(1, {"type": "metrics", "step": 5}, 2.5)
    assert arrivals.times == {}
    arrivals.add(0, {"type": "status_update", "current_step": 5}, 3.0)
    assert arrivals.times == {5: [3.0]}
