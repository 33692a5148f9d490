"""What Prometheus sees of the receiver: reports that came, and writes of progress to the API server. Counts only."""

from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REPORTS_BELOW = "/progress/v1/"
_OUTCOMES = ("accepted", "refused", "failed")


class ReceiverMetrics:
    """Two counters in a registry of their own. Every outcome is there from the start: a rate sees the first one too."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reports = self._counter("fettle_receiver_reports", "Progress reports of pods, by what came of them")
        self._writes = self._counter("fettle_receiver_writes", "Writes of progress to the API server")
        for outcome in _OUTCOMES:
            self._reports.labels(outcome)
        for is_written in (True, False):
            self._writes.labels(_outcome_of_write(is_written))

    def count_report(self, status: int) -> None:
        """One answer to a pod, by its HTTP status."""
        self._reports.labels("accepted" if status < 400 else "refused" if status < 500 else "failed").inc()

    def count_write(self, is_written: bool) -> None:
        """One write; one that failed is tried again with the next report."""
        self._writes.labels(_outcome_of_write(is_written)).inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(name, about, ["outcome"], registry=self.registry)


class CountReports:
    """The layer of the main application that sees every answer of the receiver, whoever gave it."""

    def __init__(self, app: ASGIApp, metrics: ReceiverMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_report(message["status"])
            await send(message)

        is_report = scope["type"] == "http" and str(scope["path"]).startswith(_REPORTS_BELOW)
        await self._app(scope, receive, send_counted if is_report else send)


def _outcome_of_write(is_written: bool) -> str:
    return "written" if is_written else "failed"
