"""How Kopf is set up."""

import itertools
import subprocess
import sys
from typing import Any

import pytest

from fettle_operator.handlers import CappedBackoffs, build_settings
from tests.support.fake_kubelet import World


def test_kopf_posts_nothing_and_never_gives_up() -> None:
    settings = build_settings()
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert list(itertools.islice(CappedBackoffs(), 6)) == [1, 2, 4, 8, 15, 15]


def test_kopf_makes_no_copies_to_find_changes_that_nobody_asks_for() -> None:
    storage = build_settings().persistence.diffbase_storage
    body: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"a": 1}}
    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) is None


@pytest.mark.parametrize("kind", ["Job", "Pod"])
async def test_children_wake_their_job(kind: str) -> None:
    world = World()
    labels = {"fettle.dev/training-job": "demo"}
    world.controller.observe_event(
        "DELETED", {"kind": kind, "metadata": {"name": "x", "namespace": "default", "labels": labels}}
    )
    assert world.controller.queue_depth == 1


def test_the_controller_needs_no_kopf() -> None:
    """One machine runs it without Kopf, and pays for no import of it."""
    program = "import sys, fettle_operator.controller; print('kopf' in sys.modules, 'aiohttp' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]
