"""What else a run leaves: a merged model, a pushed adapter, tracked metrics; and a push that fails loses nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub_stand_in import HubStandIn, serve_hub
from tests.support.runs import finish_run, run_config, write_run

TOKEN = "hf_not_a_real_token"


@pytest.fixture
def hub() -> Iterator[HubStandIn]:
    with serve_hub(TOKEN) as hub:
        yield hub


def test_a_run_merges_pushes_and_is_tracked_and_a_failed_push_is_repeated_alone(
    workspace: Path, hub: HubStandIn
) -> None:
    hub.fail("/commit/", 500)
    environment = {"HF_HUB_DISABLE_XET": "1", "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "", "HF_TOKEN": TOKEN}
    output = {"name": "demo", "merge": True, "push": {"repository": "acme/demo"}}
    changes = {"output": output, "tracking": {"tensorboard": True}, "hyperparameters": {"maxSteps": 3}}
    files = write_run(workspace, run_config(**changes))

    assert finish_run(files, **environment) == 75, files.log()
    failed = files.result()
    assert failed["failure"]["code"] == "PushFailed"
    assert (workspace / failed["output"]["path"] / "adapter_model.safetensors").is_file()

    hub.failures.clear()
    again = write_run(workspace, run_config(**changes, job={"attempt": 2}))
    assert finish_run(again, **environment) == 0, again.log()
    result = again.result()
    assert result["output"] == failed["output"]
    assert (workspace / result["mergedOutput"]["path"] / "model.safetensors").is_file()
    assert result["pushedUrl"].startswith(hub.endpoint)
    assert "adapter_model.safetensors" in hub.repositories["acme/demo"].files
    assert [event["step"] for event in again.events() if event["kind"] == "step"] == [1, 2, 3]
    assert list((again.directory / "tensorboard").glob("events.*"))
    assert TOKEN not in again.log()
