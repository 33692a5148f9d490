"""Every reason of a TrainingJob and every failure code is reached by a test on a real API server or kubelet."""

import re
from pathlib import Path

import pytest

from fettle_schema.reasons import REASONS
from fettle_schema.vocabulary import AdapterConditionType, FailureCode, Phase

TESTS = Path(__file__).resolve().parents[2]
REAL = "\n".join(
    path.read_text()
    for folder in ("integration/operator", "e2e")
    for path in sorted((TESTS / folder).glob("test_*.py"))
)


OF_JOBS = [
    reason for reason, (where, _) in REASONS.items() if not any(one.value in where for one in AdapterConditionType)
]


@pytest.mark.parametrize("word", [*OF_JOBS, *FailureCode, *Phase])
def test_a_real_test_names_it(word: str) -> None:
    assert re.search(rf'["/(]{word}[")/]', REAL), f"no test of the real cluster expects {word}"
