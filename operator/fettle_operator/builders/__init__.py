"""Pure functions from a job to finished manifests. No I/O, no clock, no environment."""

from fettle_operator.builders.adapter import build_adapter, build_adapter_status
from fettle_operator.builders.benchmark import build_benchmark_status
from fettle_operator.builders.config_map import build_config_map
from fettle_operator.builders.examination_job import build_examination_job
from fettle_operator.builders.job import build_job
from fettle_operator.builders.preflight_job import build_preflight_job
from fettle_operator.builders.run_config import build_run_config, config_digest
from fettle_operator.builders.service import build_service

__all__ = [
    "build_adapter",
    "build_adapter_status",
    "build_benchmark_status",
    "build_config_map",
    "build_examination_job",
    "build_job",
    "build_preflight_job",
    "build_run_config",
    "build_service",
    "config_digest",
]
