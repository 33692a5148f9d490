"""Names of adapters: who may take one, and when weights go."""

from pathlib import Path

import pytest

from fettle_trainer.serve.adapters import AdapterTable
from fettle_trainer.serve.errors import InvalidInputError, NotFoundError


class Layers:
    """Which versions have their weights in the layers."""

    def __init__(self) -> None:
        self.keys: list[str] = []


def table(layers: Layers, max_count: int = 2) -> AdapterTable:
    return AdapterTable(["base"], max_count, layers.keys.remove)


def add(adapters: AdapterTable, layers: Layers, name: str, *, replaces: bool = False) -> None:
    adapters.add(name, Path("/adapters") / name, layers.keys.append, replaces=replaces)


def test_an_unused_adapter_goes_at_once_and_a_used_one_with_its_last_request() -> None:
    layers = Layers()
    adapters = table(layers)
    add(adapters, layers, "idle")
    add(adapters, layers, "busy")
    used = adapters.acquire("busy", 2)
    assert used is not None
    adapters.remove("idle")
    adapters.remove("busy")
    assert (layers.keys, adapters.all()) == ([used.key], [])
    adapters.release(used)
    assert layers.keys == [used.key]
    adapters.release(used)
    assert layers.keys == []
    assert adapters.acquire("busy", 1) is None


def test_a_replaced_adapter_keeps_its_place_and_its_old_users() -> None:
    layers = Layers()
    adapters = table(layers)
    add(adapters, layers, "one")
    old = adapters.acquire("one", 1)
    assert old is not None
    add(adapters, layers, "one", replaces=True)
    (served,) = adapters.all()
    assert served.key != old.key
    assert layers.keys == [old.key, served.key]
    adapters.release(old)
    assert layers.keys == [served.key]


def test_a_name_that_is_taken_is_refused_and_nothing_attached() -> None:
    layers = Layers()
    adapters = table(layers)
    add(adapters, layers, "one")
    for name, expected in (("one", "already been loaded"), ("base", "base model's"), ("", "must be provided")):
        with pytest.raises(InvalidInputError, match=expected):
            add(adapters, layers, name)
    add(adapters, layers, "two")
    with pytest.raises(InvalidInputError, match="--max-adapters"):
        add(adapters, layers, "three")
    add(adapters, layers, "two", replaces=True)
    assert len(layers.keys) == 2
    with pytest.raises(NotFoundError, match="'four' cannot be found"):
        adapters.remove("four")
