"""A trajectory: what an agent was asked, what it looked up and what it answered. Values, in either spelling."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field

from fettle_schema.base import Model

SOURCES = ("chat", "autonomy", "telegram", "discord", "api")
STATUSES = ("active", "completed", "error", "timeout")
MAX_MILLISECONDS = 10**14
MAX_ID = 512


def _milliseconds(value: object) -> object:
    """Times come as milliseconds or as ISO texts."""
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError("must be milliseconds since 1970, or an ISO time") from error
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return round(time.timestamp() * 1000)
    if isinstance(value, bool):
        raise ValueError("must be milliseconds since 1970, or an ISO time")
    return round(value) if isinstance(value, float) else value


def _id(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Milliseconds = Annotated[int, BeforeValidator(_milliseconds), Field(ge=0, le=MAX_MILLISECONDS)]
Id = Annotated[str, BeforeValidator(_id), Field(min_length=1, max_length=MAX_ID)]
Word = Annotated[str, Field(max_length=512)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(Model):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True)


class LlmCall(_Part):
    """One call of a model: its three texts become an example."""

    id: Id | None = Field(default=None, validation_alias=AliasChoices("id", "callId", "call_id"))
    model: Word | None = None
    system_prompt: str = ""
    user_prompt: str = ""
    response: str = ""
    temperature: Number | None = None
    max_tokens: int | None = None
    purpose: Word | None = None
    latency_ms: Number | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    timestamp: Milliseconds | None = None


class ProviderAccess(_Part):
    """Something that the agent looked up; shown, not trained on."""

    id: Id | None = Field(default=None, validation_alias=AliasChoices("id", "providerId", "provider_id"))
    provider_name: Word | None = None
    purpose: Word | None = None
    data: Any = None
    query: Any = None
    timestamp: Milliseconds | None = None


class Trajectory(_Part):
    """One run of an agent; `id` and the times are set once it has been taken in."""

    id: Id | None = Field(default=None, validation_alias=AliasChoices("id", "trajectoryId", "trajectory_id"))
    agent_id: Word | None = None
    archetype: Word | None = None
    source: Literal["chat", "autonomy", "telegram", "discord", "api"] = "api"
    status: Literal["active", "completed", "error", "timeout"] = "completed"
    start_time: Milliseconds | None = None
    end_time: Milliseconds | None = None
    created_at: Milliseconds | None = None
    total_reward: Number | None = None
    ai_judge_reward: Number | None = None
    episode_length: int | None = None
    llm_calls: tuple[LlmCall, ...] = ()
    provider_accesses: tuple[ProviderAccess, ...] = ()
    steps_json: str | None = None

    @property
    def summary(self) -> "TrajectorySummary":
        """What lists show."""
        shared = {name: getattr(self, name) for name in TrajectorySummary.model_fields if name != "llm_call_count"}
        return TrajectorySummary(**shared, llm_call_count=len(self.llm_calls))


class TrajectorySummary(_Part):
    """A trajectory without its texts."""

    id: Id
    agent_id: Word | None = None
    archetype: Word | None = None
    source: Word = "api"
    status: Word = "completed"
    start_time: Milliseconds | None = None
    end_time: Milliseconds | None = None
    created_at: Milliseconds = 0
    total_reward: Number | None = None
    ai_judge_reward: Number | None = None
    episode_length: int | None = None
    llm_call_count: int = 0


KNOWN_KEYS = frozenset(
    {
        *(key for name, field in Trajectory.model_fields.items() for key in (name, field.alias or name)),
        *("trajectoryId", "trajectory_id", "steps", "metrics"),
    }
)
"""What a trajectory can hold; an object without any of it is none."""
