"""Keys are sorted as a list of them would be."""

import pytest

from fettle_data.ordering import Keys, key_of


@pytest.mark.parametrize("texts", [[], ["a"], [str(number % 700) for number in range(2000)]])
def test_order_is_that_of_a_stable_sort(texts: list[str]) -> None:
    keys = Keys()
    for text in texts:
        keys.add(text)
    assert list(keys.order()) == sorted(range(len(texts)), key=lambda index: key_of(texts[index]))
    assert keys.duplicate_count() == len(texts) - len(set(texts))
