"""What Prometheus reads. No label grows with the number of jobs; docs/metrics.md says what each is for."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_WAITS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)
"""Seconds: from an idle cluster to a weekend in a queue."""
_STARTS = (5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_RUNS = (60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600, 72 * 3600, 7 * 24 * 3600)


class Metrics:
    """The operator's numbers, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = self._counter("fettle_reconciles", "Passes of reconcile, by what came of them", "outcome")
        self.reconcile_seconds = self._histogram("fettle_reconcile_seconds", "Duration of a pass of reconcile")
        self.queue_depth = Gauge("fettle_queue_depth", "Jobs that wait for a worker", registry=self.registry)
        self.is_leader = Gauge("fettle_is_leader", "1 on the replica that leads", registry=self.registry)
        self.transitions = self._counter("fettle_job_transitions", "Changes of a job's phase", "before", "after")
        self.jobs_ended = self._counter("fettle_jobs_ended", "Jobs that ended", "phase", "reason")
        self.restarts = self._counter("fettle_job_restarts", "Runs that began anew, by what ended the last", "cause")
        self.gpu_seconds = self._counter(
            "fettle_gpu_seconds", "GPUs x seconds of runs, by whether a checkpoint or a result kept them", "outcome"
        )
        self.queue_wait_seconds = self._histogram(
            "fettle_queue_wait_seconds", "From creation or resumption to admission", "queue", buckets=_WAITS
        )
        self.first_step_seconds = self._histogram(
            "fettle_first_step_seconds", "From admission to the first optimizer step", "method", buckets=_STARTS
        )
        self.run_seconds = self._histogram(
            "fettle_run_seconds", "Time in which the pods of a job that ended ran", "method", "phase", buckets=_RUNS
        )

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _histogram(
        self, name: str, about: str, *labels: str, buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS
    ) -> Histogram:
        return Histogram(name, about, labels, registry=self.registry, buckets=buckets)
