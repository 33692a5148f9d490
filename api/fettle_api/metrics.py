"""What Prometheus reads of the facade. No label grows with jobs or callers; docs/metrics.md says what each is for."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_REPORT_OUTCOMES = ("accepted", "refused", "failed")
_WRITE_OUTCOMES = ("written", "gone", "failed")
_WEBHOOK_RESULTS = ("delivered", "failed", "unwanted")
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
"""Seconds: from a job's status to an upload."""


class Metrics:
    """The facade's numbers, in a registry of their own."""

    def __init__(self) -> None:
        """Outcomes are there from the start: a rate sees the first of each too."""
        self.registry = CollectorRegistry()
        self._requests = self._counter("fettle_api_requests", "Requests answered", "dialect", "method", "status")
        self._request_seconds = Histogram(
            "fettle_api_request_seconds",
            "From a request to the end of its answer",
            ["dialect"],
            registry=self.registry,
            buckets=_DURATIONS,
        )
        self._reports = self._counter("fettle_api_progress_reports", "Reports of running jobs", "outcome")
        self._writes = self._counter("fettle_api_progress_writes", "Writes of progress into jobs", "outcome")
        self._webhooks = self._counter("fettle_api_webhook_attempts", "Attempts to deliver a webhook", "result")
        self._watch_failures = self._counter("fettle_api_watch_failures", "Watches that failed and began anew", "kind")
        for counter, outcomes in (
            (self._reports, _REPORT_OUTCOMES),
            (self._writes, _WRITE_OUTCOMES),
            (self._webhooks, _WEBHOOK_RESULTS),
        ):
            for outcome in outcomes:
                counter.labels(outcome)

    def request_ended(self, dialect: str, method: str, status: int, seconds: float) -> None:
        """A request was answered; `status` is 0 if its caller went away before."""
        method = method if method in _METHODS else "other"
        self._requests.labels(dialect, method, str(status) if status else "none").inc()
        self._request_seconds.labels(dialect).observe(seconds)

    def report_ended(self, outcome: str) -> None:
        """A report came: `accepted`, `refused` for what it is, or `failed` for want of the API server."""
        self._reports.labels(outcome).inc()

    def write_ended(self, outcome: str) -> None:
        """Progress was `written`, or its job was `gone`, or the API server refused it: `failed`."""
        self._writes.labels(outcome).inc()

    def webhook_ended(self, result: str) -> None:
        """One attempt ended: `delivered`, `failed`, or `unwanted`."""
        self._webhooks.labels(result).inc()

    def watch_failed(self, kind: str) -> None:
        """The watch of a kind broke and begins anew."""
        self._watch_failures.labels(kind).inc()

    def read_at_scrape(self, jobs: Callable[[], int], followers: Callable[[], int]) -> None:
        """Numbers that are there already: jobs in the cache, and live followers."""
        self._gauge("fettle_api_jobs", "Training jobs in the cache", jobs)
        self._gauge("fettle_api_live_followers", "Followers of jobs: WebSockets and streams", followers)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, read: Callable[[], int]) -> None:
        Gauge(name, about, registry=self.registry).set_function(read)
