"""The ConfigMap that carries run.json into the pods. Pure."""

from fettle_operator.builders.metadata import child_metadata
from fettle_operator.plan import Manifest
from fettle_schema.names import RUN_CONFIG_KEY, attempt_name
from fettle_schema.run import RunConfig


def build_config_map(job: Manifest, run_config: RunConfig) -> Manifest:
    """Immutable: an attempt never changes what it runs on."""
    attempt = run_config.job.attempt
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": child_metadata(job, attempt_name(job["metadata"]["name"], attempt), attempt),
        "immutable": True,
        "data": {RUN_CONFIG_KEY: run_config.model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n"},
    }
