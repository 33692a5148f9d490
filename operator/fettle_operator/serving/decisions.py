"""What one engine pod should do now: what it says it has against what Adapters want. Pure.

`GET /v1/models` is the truth, compared by name and path. What no Adapter accounts for is left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fettle_operator.serving.candidates import Candidate, Wish
from fettle_operator.serving.pods import EnginePod
from fettle_operator.serving.views import Problem
from fettle_schema.layout import MODELS
from fettle_schema.reasons import Reason


@dataclass(frozen=True)
class Listing:
    """What a pod says it has."""

    adapters: Mapping[str, str]
    """Served name → path."""
    bases: tuple[tuple[str, str], ...] = ()
    """Name and path, or hub id, of each base model."""
    max_rank: int | None = None
    """Largest rank, of an engine that tells it."""


@dataclass(frozen=True)
class Load:
    """Load an adapter, or put another version in its place."""

    candidate: Candidate
    replaces: bool


@dataclass(frozen=True)
class Unload:
    """Unload what is under a name."""

    candidate: Candidate
    name: str


Action = Load | Unload


@dataclass
class Decisions:
    """What to ask of one pod, and what is not asked because it would be wrong; problems by the Adapter's uid."""

    actions: list[Action] = field(default_factory=list)
    problems: dict[str, Problem] = field(default_factory=dict)


def decide(
    pod: EnginePod, listing: Listing, candidates: Sequence[Candidate], workspace: str, default_max_rank: int | None
) -> Decisions:
    """Unloading comes first: it makes room."""
    decisions, owners = Decisions(), _owners(candidates)
    limits = (pod.max_rank, listing.max_rank, default_max_rank)
    max_rank = next((limit for limit in limits if limit is not None), None)
    for one in candidates:
        owner = owners.get(one.served_name)
        if one.wish is not Wish.HOLD:
            unwanted = [name for name in _own_names(listing, one) if name not in owners]
            decisions.actions[:0] = [Unload(one, name) for name in unwanted]
        if one.wish is Wish.UNLOAD:
            continue
        if owner is not None and owner.uid != one.uid:
            words = f"the served name {one.served_name!r} belongs to the older Adapter {owner.key[1]!r}"
            decisions.problems[one.uid] = Problem(Reason.NAME_TAKEN, words)
        elif one.wish is Wish.LOAD and listing.adapters.get(one.served_name) != one.path:
            problem = _refusal(one, listing, workspace, max_rank)
            if problem is not None:
                decisions.problems[one.uid] = problem
            else:
                decisions.actions.append(Load(one, replaces=one.served_name in listing.adapters))
    return decisions


def own_path(listing: Listing, one: Candidate) -> str | None:
    """What a pod has of an Adapter under its served name; of one that is to go, under any name."""
    names = [name for name in _own_names(listing, one) if one.wish is Wish.UNLOAD or name == one.served_name]
    return listing.adapters[names[0]] if names else None


def _own_names(listing: Listing, one: Candidate) -> list[str]:
    """Under which names a pod has a version of the Adapter; more than one after a change of its served name."""
    return [name for name, path in listing.adapters.items() if path == one.path or path.startswith(one.own_paths)]


def _owners(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    """Who has each served name."""
    owners: dict[str, Candidate] = {}
    for one in sorted(candidates, key=lambda one: one.seniority):
        if one.wish is not Wish.UNLOAD:
            owners.setdefault(one.served_name, one)
    return owners


def _refusal(one: Candidate, listing: Listing, workspace: str, max_rank: int | None) -> Problem | None:
    """Why the engine is not even asked."""
    if any(one.served_name == name for name, _ in listing.bases):
        return Problem(Reason.NAME_TAKEN, f"the served name {one.served_name!r} is the engine's base model's")
    if max_rank is not None and one.rank is not None and one.rank > max_rank:
        return Problem(Reason.RANK_TOO_HIGH, f"rank {one.rank} is over the engine's limit of {max_rank}")
    if listing.bases and not any(_is_base(one.base_model, base, workspace) for base in listing.bases):
        served = ", ".join(repr(root or name) for name, root in listing.bases)
        return Problem(
            Reason.BASE_MODEL_MISMATCH, f"the engine serves {served}, the adapter belongs to {one.base_model!r}"
        )
    return None


def _is_base(wanted: str, base: tuple[str, str], workspace: str) -> bool:
    """Whether an engine's model is the one that is wanted: by hub id, path in the workspace, or the hub's cache."""
    spellings = {wanted, f"{workspace}/{wanted}", f"{workspace}/{MODELS}/{wanted}"}
    cached = f"/models--{wanted.replace('/', '--')}/"
    return any(part.rstrip("/") in spellings or cached in part for part in base)
