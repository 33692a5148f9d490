"""`admit` over the table of manifests; the same table runs against the API server in tests/integration/schema."""

import pytest

from fettle_schema.errors import FieldError, InvalidManifestError
from fettle_schema.validation import admit
from tests.support.manifest_cases import CREATES, GOOD_JOB, UPDATES, Case


def refused(case: Case) -> list[FieldError]:
    stored = case.stored()
    try:
        admit(case.manifest(), admit(stored) if stored else None)
    except InvalidManifestError as error:
        return error.errors
    return []


@pytest.mark.parametrize("case", [*CREATES, *UPDATES], ids=lambda case: case.name)
def test_the_field_and_what_is_allowed_are_named(case: Case) -> None:
    errors = refused(case)
    assert {error.path for error in errors} == ({case.path} if case.path else set())
    assert all((case.allowed or "") in error.message for error in errors)


def test_the_table_holds_at_least_sixty_manifests() -> None:
    assert len(CREATES) + len(UPDATES) >= 60
    assert sum(case.path is None for case in [*CREATES, *UPDATES]) >= 20


def test_defaults_are_filled_in() -> None:
    spec = admit(GOOD_JOB)["spec"]
    assert spec["method"] == "sft"
    assert spec["limits"] == {"maxRetries": 3, "startupTimeoutSeconds": 3600, "stallTimeoutSeconds": 900}
    assert "learningRate" not in spec["hyperparameters"]


def test_admitting_twice_changes_nothing() -> None:
    once = admit(GOOD_JOB)
    assert admit(once, once) == once


def test_all_errors_are_reported_at_once() -> None:
    manifest = {**GOOD_JOB, "spec": {**GOOD_JOB["spec"], "method": "ppo", "adapter": {"rank": 0}}}
    with pytest.raises(InvalidManifestError) as caught:
        admit(manifest)
    assert {error.path for error in caught.value.errors} == {"spec.method", "spec.adapter.rank"}


def test_another_kind_is_refused_by_name() -> None:
    with pytest.raises(InvalidManifestError, match="TrainingJob, Adapter, is 'Pod'"):
        admit({"kind": "Pod"})
