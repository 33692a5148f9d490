"""A request's body → trajectories: one object, or one a line, scrubbed, each with its id. Pure."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from fettle_api.errors import BodyError
from fettle_api.trajectories.model import KNOWN_KEYS, Trajectory
from fettle_api.trajectories.scrubbing import Scrubber
from fettle_api.web.body import parse_json

MAX_AT_ONCE = 5000


def read_trajectories(body: bytes, now: datetime, scrubber: Scrubber) -> list[Trajectory]:
    """All of them or none. Raises BodyError, which names the line and the field."""
    found = [read_trajectory(value, where, now, scrubber) for where, value in _values(body)]
    if not found:
        raise BodyError("expected a trajectory as a JSON object, or one a line")
    return found


def read_trajectory(value: Any, where: str, now: datetime, scrubber: Scrubber) -> Trajectory:
    """One, scrubbed; without an id of its own it gets one that follows from its content. Raises BodyError."""
    if not isinstance(value, dict):
        raise BodyError(f"{where}expected an object")
    if not KNOWN_KEYS & value.keys():
        raise BodyError(f"{where}this is no trajectory: expected llmCalls, or another of its fields")
    trajectory = _parse(_with_steps(value), where)
    scrubbed = _scrubbed(trajectory, scrubber)
    if not scrubbed.llm_calls and not scrubbed.provider_accesses:
        scrubbed = _with_calls_of_steps(scrubbed, where)
    trajectory_id = trajectory.id or _id_of_content(scrubbed)
    times = [call.timestamp for call in scrubbed.llm_calls if call.timestamp is not None]
    arrived = round(now.timestamp() * 1000)
    start = scrubbed.start_time
    if start is None:
        start = min(times, default=scrubbed.created_at if scrubbed.created_at is not None else arrived)
    created = scrubbed.created_at
    if created is None:
        created = scrubbed.start_time if scrubbed.start_time is not None else arrived
    calls = [
        call if call.id else call.model_copy(update={"id": f"call-{number}"})
        for number, call in enumerate(scrubbed.llm_calls, 1)
    ]
    known = {"id": trajectory_id, "start_time": start, "created_at": created, "llm_calls": tuple(calls)}
    return scrubbed.model_copy(update=known)


def _values(body: bytes) -> Iterator[tuple[str, Any]]:
    """JSON values, each with where it is: the whole body, its items, or its lines."""
    try:
        value = parse_json(body)
    except BodyError:
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        if len(lines) < 2:
            raise
        _check_count(len(lines))
        for number, line in lines:
            try:
                yield f"line {number}: ", parse_json(line)
            except BodyError as error:
                raise BodyError(f"line {number}: {error}") from error
        return
    items = value if isinstance(value, list) else [value]
    _check_count(len(items))
    for number, item in enumerate(items):
        yield f"item {number}: " if isinstance(value, list) else "", item


def _check_count(count: int) -> None:
    if count > MAX_AT_ONCE:
        raise BodyError(f"at most {MAX_AT_ONCE} trajectories at once, got {count}; send them in several requests")


def _with_steps(value: Mapping[str, Any]) -> dict[str, Any]:
    """Steps come as a text or as a list, under either name; episode length also below `metrics`."""
    kept = dict(value)
    steps = next((kept.pop(key) for key in ("stepsJson", "steps_json", "steps") if kept.get(key) is not None), None)
    for key in ("stepsJson", "steps_json", "steps"):
        kept.pop(key, None)
    metrics = kept.pop("metrics", None)
    if isinstance(metrics, dict) and kept.keys().isdisjoint(("episodeLength", "episode_length")):
        kept["episodeLength"] = metrics.get("episodeLength", metrics.get("episode_length"))
    if steps is not None:
        kept["stepsJson"] = steps if isinstance(steps, str) else json.dumps(steps, ensure_ascii=False)
    return kept


def _parse(value: Mapping[str, Any], where: str) -> Trajectory:
    try:
        return Trajectory.model_validate(value)
    except ValidationError as error:
        finding = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, finding["loc"]))
        raise BodyError(f"{where}{path}: {finding['msg'].removeprefix('Value error, ')}") from None


def _scrubbed(trajectory: Trajectory, scrubber: Scrubber) -> Trajectory:
    kept = trajectory.model_dump(mode="json", exclude={"id", "source", "status", "steps_json"})
    values = scrubber.value(kept)
    steps = trajectory.steps_json
    return trajectory.model_validate(
        {
            **values,
            "id": trajectory.id,
            "source": trajectory.source,
            "status": trajectory.status,
            "steps_json": steps if steps is None else scrubber.json_text(steps),
        }
    )


def _with_calls_of_steps(trajectory: Trajectory, where: str) -> Trajectory:
    """Calls and accesses of the steps, where the trajectory names none itself."""
    try:
        steps = parse_json((trajectory.steps_json or "[]").encode())
    except BodyError:
        return trajectory
    found: dict[str, list[Any]] = {"llmCalls": [], "providerAccesses": []}
    for step in steps if isinstance(steps, list) else []:
        for name, snake in (("llmCalls", "llm_calls"), ("providerAccesses", "provider_accesses")):
            items = (step.get(name) or step.get(snake)) if isinstance(step, dict) else None
            found[name] += items if isinstance(items, list) else []
    parsed = _parse(found, f"{where}stepsJson.")
    parts = {"llm_calls": parsed.llm_calls, "provider_accesses": parsed.provider_accesses}
    return trajectory.model_copy(update=parts)


def _id_of_content(trajectory: Trajectory) -> str:
    """A UUID that follows from what was kept, so that nothing of a secret is in it."""
    content = json.dumps(trajectory.model_dump(mode="json", exclude={"id"}), sort_keys=True).encode()
    return str(uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=5))
