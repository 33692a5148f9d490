"""What Prometheus sees of the facade."""

from pathlib import Path

from fettle_api.metrics import Metrics
from tests.support.documented_metrics import documented_metrics
from tests.support.facade import Facade, running_facade

JOBS = "/api/training/jobs"


async def lines(facade: Facade) -> list[str]:
    async with facade.caller(None) as caller:
        answer = await caller.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.text.splitlines()


def test_the_document_names_every_metric_and_no_other() -> None:
    metrics = Metrics()
    metrics.read_at_scrape(lambda: 0, lambda: 0)
    assert documented_metrics("The facade") == {family.name for family in metrics.registry.collect()}


async def test_requests_are_counted_by_dialect_on_either_port(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        async with facade.caller() as own, facade.caller(None) as main:
            await own.get(f"{JOBS}/unknown")
            await main.get(f"/ainode{JOBS}/unknown")
            await main.get("/v1/models")
            await main.request("BREW", "/healthz")
        found = await lines(facade)
    assert 'fettle_api_requests_total{dialect="ainode",method="GET",status="404"} 2.0' in found
    assert 'fettle_api_requests_total{dialect="openai",method="GET",status="200"} 1.0' in found
    assert 'fettle_api_requests_total{dialect="main",method="other",status="405"} 1.0' in found
    assert 'fettle_api_request_seconds_count{dialect="ainode"} 2.0' in found


async def test_no_label_holds_what_a_caller_wrote(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        async with facade.caller(None) as caller:
            await caller.get("/swordfish", headers={"x-request-id": "swordfish"})
            await caller.request("SWORDFISH", "/ainode/swordfish?token=swordfish")
            await caller.post("/progress/v1/namespaces/swordfish/trainingjobs/swordfish/attempts/swordfish")
        assert "swordfish" not in "\n".join(await lines(facade)).lower()


async def test_jobs_in_the_cache_are_counted(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        async with facade.caller() as caller:
            await caller.post(JOBS, json={"base_model": "a/b", "dataset_path": "d"})
        assert "fettle_api_jobs 1.0" in await lines(facade)
