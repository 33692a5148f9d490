import random

from fettle_api.resources.ordered import OrderedItems


def items(**ages: int) -> OrderedItems[int]:
    found = OrderedItems[int](lambda age: age)
    for name, age in ages.items():
        found.put(name, age)
    return found


def test_they_come_by_key_and_then_by_name() -> None:
    found = items(b=2, c=1, a=2)
    assert found.names() == ["c", "a", "b"]
    assert list(found) == [1, 2, 2]
    assert (found.get("b"), found.get("x")) == (2, None)


def test_one_whose_key_changes_moves() -> None:
    found = items(a=1, b=2)
    found.put("a", 3)
    assert found.names() == ["b", "a"]
    assert list(found) == [2, 3]


def test_what_is_removed_is_gone_and_nothing_is_removed_twice() -> None:
    found = items(a=1, b=1)
    found.remove("a")
    found.remove("a")
    assert found.names() == ["b"]
    assert "a" not in found


def test_the_order_holds_whatever_happens() -> None:
    chance, found, known = random.Random(0), items(), dict[str, int]()
    for _ in range(2000):
        name, age = f"n{chance.randrange(50)}", chance.randrange(20)
        if chance.random() < 0.3:
            found.remove(name)
            known.pop(name, None)
        else:
            found.put(name, age)
            known[name] = age
    assert found.names() == sorted(known, key=lambda name: (known[name], name))
