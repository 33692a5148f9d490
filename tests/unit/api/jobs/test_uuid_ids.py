import pytest

from fettle_api.jobs.uuid_ids import id_of_name, name_of_id, new_id
from fettle_api.web.idempotency import Identity


@pytest.mark.parametrize("digit", ["0", "9", "a", "f"])
def test_a_new_id_is_a_uuid_and_finds_its_job(digit: str) -> None:
    job_id = new_id(Identity(digit * 64))
    assert job_id[14] == "4"
    name = name_of_id(job_id)
    assert name is not None
    assert name[0].isalpha()
    assert id_of_name(name) == job_id


@pytest.mark.parametrize(
    "name", ["kubectl-helper", "j0123456789ab", "j550e8400", "a", "x" * 52, "j550e8400-e29b-11d4-a716-446655440000"]
)
def test_a_job_from_elsewhere_has_its_name_as_id(name: str) -> None:
    assert id_of_name(name) == name
    assert name_of_id(name) == name


@pytest.mark.parametrize("job_id", ["", "A", "a/b", "a.b", "-a", "a-", "ü", "x" * 53, "0" * 52, "a\n", "a\0"])
def test_what_can_be_no_id(job_id: str) -> None:
    assert name_of_id(job_id) is None
