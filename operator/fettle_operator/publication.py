"""A run succeeded: what came out becomes status and an Adapter. Pure.

The Adapter is written before Complete=True; whoever crashes in between writes the same again.
"""

from typing import Any

from fettle_operator.acceptance import adapter_conflict
from fettle_operator.builders import build_adapter, build_adapter_status, build_benchmark_status
from fettle_operator.draft import Draft
from fettle_operator.endings import complete, end
from fettle_operator.plan import AdapterStatusWrite
from fettle_operator.verdict import Verdict
from fettle_schema.run import RunResult
from fettle_schema.status import OutputStatus, Resolved
from fettle_schema.training_job import Method


def conclude(draft: Draft, verdict: Verdict) -> None:
    """Publish the result and end the job."""
    result = verdict.result
    if result is None:
        return complete(draft, verdict.message)
    resolve(draft, result)
    output = result.output
    draft.status.output = output
    if output is None or output.kind != "adapter":
        published = f"{verdict.message}; {output.kind} at {output.path}" if output else verdict.message
        _plan_benchmark(draft, result)
        return complete(draft, published)
    conflict = adapter_conflict(draft.observation, is_published=True)
    if conflict is not None:
        return end(draft, conflict)
    name = _plan_adapter(draft, result, output)
    draft.status.adapter = name
    return complete(draft, f"{verdict.message}; adapter {name}")


def resolve(draft: Draft, result: RunResult) -> None:
    """Take over what a pod has found out about its inputs."""
    known = draft.status.resolved or Resolved()
    draft.status.resolved = known.model_copy(
        update={
            "base_model_revision": result.base_model_revision or known.base_model_revision,
            "dataset_digest": result.dataset_digest or known.dataset_digest,
            "estimate": _measured(result.estimate or known.estimate, result),
        }
    )


def _measured(estimate: dict[str, Any] | None, result: RunResult) -> dict[str, Any] | None:
    """The estimate, and beside it what was measured."""
    peak = result.metrics.get("peakMemoryBytes")
    if estimate is None or peak is None:
        return estimate
    return {**estimate, "measured": {"peakMemoryBytes": peak}}


def _plan_benchmark(draft: Draft, result: RunResult) -> None:
    """The scores of a benchmark become its Adapter's, unless that has another version by now."""
    adapter = draft.observation.source_adapter
    if draft.spec.method is not Method.BENCHMARK or adapter is None:
        return
    status = build_benchmark_status(draft.observation.job, result, adapter)
    if status is not None:
        metadata = adapter["metadata"]
        told = AdapterStatusWrite(metadata["name"], status, metadata["resourceVersion"], metadata["uid"])
        draft.plan.adapter_status = told


def _plan_adapter(draft: Draft, result: RunResult, output: OutputStatus) -> str:
    observation = draft.observation
    existing = observation.adapter
    wanted = build_adapter(observation.job, observation.spec, output, existing)
    if existing is None:
        draft.plan.create.append(wanted)
    elif wanted["spec"] != existing["spec"] or wanted["metadata"] != existing["metadata"]:
        draft.plan.replace.append(wanted)
    if ((existing or {}).get("status") or {}).get("digest") != output.digest or draft.plan.replace:
        status = build_adapter_status(
            observation.job, observation.spec, result, output, draft.status.resolved, existing, draft.now
        )
        draft.plan.adapter_status = AdapterStatusWrite(wanted["metadata"]["name"], status)
    return str(wanted["metadata"]["name"])
