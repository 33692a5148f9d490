"""Items by name, and all of them in an order that is kept: a change of one of thousands sorts nothing. Pure."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
SortKey = Callable[[Item], Any]


class OrderedItems(Generic[Item]):
    """Sorted by `sort_key`, then by name."""

    def __init__(self, sort_key: SortKey[Item]) -> None:
        self._sort_key = sort_key
        self._items: dict[str, Item] = {}
        self._order: list[tuple[Any, str]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return (self._items[name] for _, name in self._order)

    def get(self, name: str) -> Item | None:
        """The item, or None."""
        return self._items.get(name)

    def names(self) -> list[str]:
        """Of all items, in order."""
        return [name for _, name in self._order]

    def put(self, name: str, item: Item) -> None:
        """Add the item, or replace the one that has the name."""
        held, key = self._items.get(name), self._sort_key(item)
        if held is None or self._sort_key(held) != key:
            self.remove(name)
            insort(self._order, (key, name))
        self._items[name] = item

    def remove(self, name: str) -> None:
        """No such item is no error."""
        held = self._items.pop(name, None)
        if held is not None:
            del self._order[bisect_left(self._order, (self._sort_key(held), name))]
