"""The table of manifests against the real API server: it refuses what `admit` refuses, and names the same field."""

import re

import pytest

from fettle_client.protocol import ADAPTERS, TRAINING_JOBS, ApiError, ResourceClient
from tests.support.manifest_cases import CREATES, UPDATES, Case

NOT_CHECKED = "<nil>"
"""Where the API server says that it skipped the rules because the structure was wrong already."""


async def answer(client: ResourceClient, namespace: str, case: Case) -> ApiError | None:
    kind = TRAINING_JOBS if case.base == "TrainingJob" else ADAPTERS
    manifest, stored = case.manifest(), case.stored()
    manifest["metadata"]["namespace"] = namespace
    try:
        if stored is None:
            await client.create(kind, manifest, dry_run=True)
        else:
            stored["metadata"]["namespace"] = namespace
            created = await client.create(kind, stored)
            manifest["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]
            await client.replace(kind, manifest)
    except ApiError as error:
        return error
    return None


def named_fields(error: ApiError | None) -> set[str]:
    if error is None:
        return set()
    unknown = re.findall(r'unknown field "([^"]+)"', str(error))
    causes = [cause["field"] for cause in error.details.get("causes", []) if "unknown field" not in cause["message"]]
    return {*unknown, *causes} - {NOT_CHECKED}


@pytest.mark.parametrize("case", [*CREATES, *UPDATES], ids=lambda case: case.name)
async def test_the_api_server_names_the_same_field(case: Case, client: ResourceClient, namespace: str) -> None:
    error = await answer(client, namespace, case)
    assert named_fields(error) == ({case.path} if case.path else set())
    assert (case.allowed or "") in str(error or "")
