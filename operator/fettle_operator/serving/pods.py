"""Reading the pods of engines: where they answer, and what they say about themselves. Pure; decides nothing."""

from dataclasses import dataclass

from fettle_operator.plan import Manifest
from fettle_schema.adapter import ServingSpec
from fettle_schema.names import ANNOTATION_MAX_LORA_RANK, ENGINE_LABELS


@dataclass(frozen=True)
class EnginePod:
    """One pod, at one port."""

    name: str
    uid: str
    restarts: int
    """Of its containers: after one it has forgotten what it had."""
    address: str | None
    is_ready: bool
    port: int
    max_rank: int | None = None
    """What its annotation says."""

    @property
    def key(self) -> tuple[str, int]:
        """What is remembered of it."""
        return self.uid, self.port

    @property
    def incarnation(self) -> tuple[str, int, int]:
        """The same, until a container restarts."""
        return self.uid, self.port, self.restarts

    @property
    def url(self) -> str:
        """Where it answers; only of a ready one."""
        host = f"[{self.address}]" if ":" in (self.address or "") else self.address
        return f"http://{host}:{self.port}"


def label_selector(serving: ServingSpec) -> str:
    """What engine pods are listed by; an empty selector means the installation's, never all pods."""
    labels = (serving.selector.match_labels if serving.selector else {}) or ENGINE_LABELS
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def engine_pod(pod: Manifest, port: int) -> EnginePod:
    """What a pod's manifest says."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    conditions = status.get("conditions") or []
    is_ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    address = status.get("podIP")
    max_rank = str((metadata.get("annotations") or {}).get(ANNOTATION_MAX_LORA_RANK, ""))
    return EnginePod(
        name=metadata["name"],
        uid=metadata["uid"],
        restarts=sum(int(c.get("restartCount", 0)) for c in status.get("containerStatuses") or []),
        address=address,
        is_ready=is_ready and bool(address) and not metadata.get("deletionTimestamp"),
        port=port,
        max_rank=int(max_rank) if max_rank.isdigit() else None,
    )


def may_hold_adapters(pod: Manifest) -> bool:
    """Whether its containers may still be at work; one that has ended holds nothing."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
