"""What Milady answers about trajectories, and about datasets that were built from them. Pure."""

import json
from typing import Any

from fettle_api.datasets.views import DatasetView
from fettle_api.dialects.milady.translate import milliseconds
from fettle_api.trajectories.model import Trajectory, TrajectorySummary
from fettle_api.trajectories.service import Ingested


def row_of(summary: TrajectorySummary) -> dict[str, Any]:
    """A trajectory in a list."""
    return {
        "id": summary.id,
        "trajectoryId": summary.id,
        "agentId": summary.agent_id or "",
        "archetype": summary.archetype,
        "source": summary.source,
        "status": summary.status,
        "llmCallCount": summary.llm_call_count,
        "hasLlmCalls": summary.llm_call_count > 0,
        "startTime": summary.start_time,
        "endTime": summary.end_time,
        "createdAt": summary.created_at,
        "totalReward": summary.total_reward,
        "aiJudgeReward": summary.ai_judge_reward,
        "episodeLength": summary.episode_length,
    }


def page_of(summaries: list[TrajectorySummary], total: int, offset: int, limit: int) -> dict[str, Any]:
    """A page of the list."""
    rows = [row_of(summary) for summary in summaries]
    return {"available": True, "trajectories": rows, "total": total, "offset": offset, "limit": limit}


def detail_of(trajectory: Trajectory) -> dict[str, Any]:
    """A whole trajectory."""
    calls = [call.model_dump(mode="json", by_alias=True) for call in trajectory.llm_calls]
    accesses = [access.model_dump(mode="json", by_alias=True) for access in trajectory.provider_accesses]
    steps = [{"stepNumber": 0, "llmCalls": calls, "providerAccesses": accesses}] if calls or accesses else []
    return {
        **row_of(trajectory.summary),
        "llmCalls": calls,
        "providerAccesses": accesses,
        "stepsJson": trajectory.steps_json or json.dumps(steps, ensure_ascii=False),
    }


def ingested_of(ingested: Ingested) -> dict[str, Any]:
    """What was taken in, and what was taken out of it."""
    kept = ingested.kept
    return {
        "ids": [trajectory.id for trajectory in ingested.trajectories],
        "trajectories": [row_of(trajectory.summary) for trajectory in ingested.trajectories],
        "received": ingested.received,
        "created": kept.created,
        "updated": kept.updated,
        "duplicates": ingested.received - kept.created - kept.updated,
        "scrubbed": {"secrets": ingested.secret_count, "emails": ingested.email_count},
    }


def dataset_of(dataset: DatasetView) -> dict[str, Any]:
    """A built dataset: its newest version."""
    known, newest = dataset.description, dataset.newest
    selection = known.trajectories if known else None
    count = (known.example_count if known else None) or 0
    rows = newest.files[0].name if newest and newest.files else ""
    path = f"{dataset.path}/{newest.name}/{rows}" if newest and newest.name else f"{dataset.path}/{rows}"
    return {
        "id": dataset.name,
        "createdAt": milliseconds(dataset.created_at) if dataset.created_at else 0,
        "trajectoryCount": len(selection.example_counts) if selection else 0,
        "exampleCount": count,
        "sampleCount": count,
        "jsonlPath": path,
    }
