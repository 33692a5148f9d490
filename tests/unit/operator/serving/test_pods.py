"""What the manifest of an engine's pod says."""

from typing import Any

import pytest

from fettle_operator.serving.backoff import Backoff
from fettle_operator.serving.keys import MissingKeyError, read_key
from fettle_operator.serving.pods import engine_pod, label_selector, may_hold_adapters
from fettle_schema.adapter import ServingSpec


def pod(ready: str = "True", **changes: Any) -> dict[str, Any]:
    status = {"phase": "Running", "podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": ready}]}
    metadata = {"name": "engine", "uid": "u", **changes.pop("metadata", {})}
    return {"metadata": metadata, "status": {**status, **changes}}


def test_a_ready_pod_has_an_address() -> None:
    seen = engine_pod(pod(), 9000)
    assert (seen.is_ready, seen.url) == (True, "http://10.1.2.3:9000")
    assert engine_pod(pod(podIP="fd00::1"), 8000).url == "http://[fd00::1]:8000"


@pytest.mark.parametrize(
    "manifest",
    [pod("False"), pod(podIP=None), pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), pod(conditions=[])],
)
def test_no_other_is_ready(manifest: dict[str, Any]) -> None:
    assert not engine_pod(manifest, 8000).is_ready


def test_a_restarted_container_is_another_incarnation() -> None:
    before, after = (engine_pod(pod(containerStatuses=[{"restartCount": n}]), 8000) for n in (0, 1))
    assert (before.key, before.incarnation != after.incarnation) == (after.key, True)


@pytest.mark.parametrize(("annotation", "rank"), [("64", 64), ("many", None), ("", None)])
def test_the_annotation_tells_the_largest_rank(annotation: str, rank: int | None) -> None:
    manifest = pod(metadata={"annotations": {"fettle.dev/max-lora-rank": annotation}})
    assert engine_pod(manifest, 8000).max_rank == rank


def test_what_has_ended_holds_nothing() -> None:
    assert may_hold_adapters(pod())
    assert not may_hold_adapters(pod(phase="Failed"))


@pytest.mark.parametrize(
    ("serving", "selector"),
    [
        ({}, "fettle.dev/engine=true"),
        ({"selector": {}}, "fettle.dev/engine=true"),
        ({"selector": {"matchLabels": {"b": "2", "a": "1"}}}, "a=1,b=2"),
    ],
)
def test_an_empty_selector_never_means_all_pods(serving: dict[str, Any], selector: str) -> None:
    assert label_selector(ServingSpec.model_validate(serving)) == selector


def test_back_off_doubles_to_a_minute_and_is_forgotten_with_success() -> None:
    backoff, pod_key, now, waits = Backoff(), ("uid", 8000), 0.0, []
    for _ in range(9):
        backoff.failed(pod_key, now)
        begin = now
        while backoff.is_waiting(pod_key, now):
            now += 1
        waits.append(now - begin)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.succeeded(pod_key)
    backoff.failed(pod_key, now)
    assert not backoff.is_waiting(pod_key, now + 1)
    backoff.keep(lambda key: key[0] != "uid")
    assert not backoff.is_waiting(pod_key, now)


def test_keys_are_those_of_the_namespace(tmp_path: Any) -> None:
    (tmp_path / "team.engine").write_text("k\n")
    (tmp_path / "team.broken").write_text("a\nb\n")
    assert read_key(tmp_path, "team", None) is None
    assert read_key(tmp_path, "team", None, "engine") == "k"
    assert read_key(tmp_path, "another", None, "engine") is None
    assert read_key(None, "team", None, "engine") is None
    assert read_key(tmp_path, "team", "engine") == "k"
    for directory, namespace, name in (
        (tmp_path, "other", "engine"),
        (tmp_path, "team", "broken"),
        (None, "team", "x"),
    ):
        with pytest.raises(MissingKeyError, match=f"{namespace}.{name}"):
            read_key(directory, namespace, name)
