"""What Prometheus reads. No label grows with the number of jobs."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The operator's numbers, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "fettle_reconciles", "Passes of reconcile, by what came of them", ["outcome"], registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "fettle_reconcile_seconds", "Duration of a pass of reconcile", registry=self.registry
        )
        self.queue_depth = Gauge("fettle_queue_depth", "Jobs that wait for a worker", registry=self.registry)
        self.jobs_ended = Counter(
            "fettle_jobs_ended", "Jobs that ended, by phase and reason", ["phase", "reason"], registry=self.registry
        )
        self.is_leader = Gauge("fettle_is_leader", "1 on the replica that leads", registry=self.registry)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
