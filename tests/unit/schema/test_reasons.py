import re

import pytest

from fettle_schema.failures import FAILURES
from fettle_schema.reasons import REASONS, Reason
from fettle_schema.vocabulary import AdapterConditionType, ConditionType, FailureCode


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_has_a_sentence_and_a_hint(code: FailureCode) -> None:
    sentence, hint = FAILURES[code]
    assert sentence.endswith(".")
    assert hint.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_which_conditions_have_it_and_what_it_means(reason: Reason) -> None:
    where, meaning = REASONS[reason]
    named = re.findall(r"[A-Z][A-Za-z]+(?==|,)", re.sub("=(True|False|Unknown)", "=", where))
    assert set(named) <= {*ConditionType, *AdapterConditionType}
    assert named or where == "in messages only"
    assert meaning.endswith(".")
