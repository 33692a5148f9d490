"""Examples in a file behave like a list, and nothing is left of the file."""

import gc
import os
import pickle
from pathlib import Path

import pytest

from fettle_data.formats.format import Example
from fettle_data.spool import Selection, Spool, canonical_json, canonical_texts

EXAMPLES: list[Example] = [
    {"text": "é \u2028 😀 \\ \" '"},
    {"messages": [{"role": "user", "content": ""}]},
    {"prompt": "a" * 3_000_000, "completion": "b", "label": True},
    {},
]


def spooled(directory: Path | None = None) -> Spool:
    spool = Spool(directory)
    for index, example in enumerate(EXAMPLES):
        assert spool.append(example) == index
    return spool


def test_examples_come_back_as_they_were() -> None:
    spool = spooled()
    assert list(spool) == EXAMPLES
    assert spool == EXAMPLES
    assert spool != EXAMPLES[1:]
    assert [spool[index] for index in (-1, 0, 3, 2)] == [EXAMPLES[index] for index in (-1, 0, 3, 2)]
    assert spool[1:3] == EXAMPLES[1:3]


def test_examples_can_be_read_while_others_are_added() -> None:
    spool = spooled()
    assert spool[0] == EXAMPLES[0]
    spool.append({"text": "later"})
    assert [spool[0], spool[4]] == [EXAMPLES[0], {"text": "later"}]


@pytest.mark.parametrize("index", [4, -5, 100])
def test_example_that_is_not_there_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match="there are 4 examples"):
        spooled()[index]


def test_selection_has_its_own_order() -> None:
    selection = Selection(spooled(), [3, 1])
    assert selection == [EXAMPLES[3], EXAMPLES[1]]
    assert Selection(selection, [1]) == [EXAMPLES[1]]
    assert Selection(EXAMPLES, [1]) == [EXAMPLES[1]]


def test_texts_are_canonical_from_wherever_they_come() -> None:
    expected = [canonical_json(example) for example in EXAMPLES]
    for examples in (EXAMPLES, spooled(), Selection(spooled(), range(4)), Selection(EXAMPLES, range(4))):
        assert list(canonical_texts(examples)) == expected


def test_file_has_no_name_and_its_descriptor_is_closed(tmp_path: Path) -> None:
    def open_count() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()
    before = open_count()
    spool = spooled(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert open_count() == before + 1
    del spool
    gc.collect()
    assert open_count() == before


def test_spool_is_never_sent_to_a_process_that_has_not_its_file() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Selection(spooled(), [0]))


def test_forked_process_reads_the_same_examples() -> None:
    spool = spooled()
    assert spool[0] == EXAMPLES[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if list(spool) == EXAMPLES else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(spool) == EXAMPLES
