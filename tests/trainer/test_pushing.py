"""What follows the publication: merged and pushed as asked, and after a failure only what is missing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.run import RunResult
from fettle_schema.status import OutputStatus
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.finishing import find_published, finish, require_finish, with_published
from fettle_trainer.training_run import Run
from tests.support.adapters import in_process_run, publish_random_adapter
from tests.support.hub_stand_in import HubStandIn, serve_hub

pytestmark = [
    # huggingface_hub hands files to its HTTP client in a way that is deprecated there
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

TOKEN = "hf_canary_0123456789"
ENVIRONMENT = {"HF_TOKEN": TOKEN}
PUSH = {"repository": "acme/demo"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    from huggingface_hub import close_session, constants

    with serve_hub(TOKEN) as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        yield hub
        close_session()


def trained(workspace: Path) -> RunResult:
    """The result of a training that has published."""
    adapter = publish_random_adapter(workspace)
    output = OutputStatus(kind="adapter", path=adapter.path, digest=adapter.digest)
    return RunResult(exit_code=0, step=8, output=output, base_model_revision="sha256:0", metrics={"loss": 1.0})


def run_with(workspace: Path, attempt: int = 1, **output: Any) -> Run:
    return in_process_run(workspace, attempt, output={"name": "demo", **output})


def stages(run: Run) -> list[str]:
    lines = [json.loads(line) for line in run.files.metrics.read_text().splitlines()]
    return [line["stage"] for line in lines if line["kind"] == "stage" and line["attempt"] == run.files.attempt]


def test_nothing_asked_for_changes_nothing(workspace: Path) -> None:
    result = trained(workspace)
    run = run_with(workspace)

    assert finish(run, result, {}) == result
    assert find_published(run.files) == result


def test_merged_model_is_published_beside_the_adapter(workspace: Path) -> None:
    result = finish(run_with(workspace, merge=True), trained(workspace), {})

    assert result.merged_output is not None
    assert result.merged_output.path.startswith("models/demo/")
    assert (workspace / result.merged_output.path / "model.safetensors").is_file()


def test_adapter_is_pushed_with_a_card(workspace: Path, hub: HubStandIn) -> None:
    result = finish(run_with(workspace, push=PUSH), trained(workspace), ENVIRONMENT)

    repository = hub.repositories["acme/demo"]
    assert result.pushed_url == f"{hub.endpoint}/acme/demo/commit/{repository.commits[0]['id']}"
    assert set(repository.files) == {"README.md", "adapter_config.json", "adapter_model.safetensors", "fettle.json"}
    card = repository.files["README.md"].decode()
    for text in ("library_name: peft", "models/tiny", "| Method | sft |", "`sha256:1`", "PeftModel.from_pretrained"):
        assert text in card
    assert result.output is not None
    assert not (workspace / result.output.path / "README.md").exists()


def test_merged_model_is_pushed_instead_where_that_is_asked_for(workspace: Path, hub: HubStandIn) -> None:
    result = finish(run_with(workspace, push={**PUSH, "merged": True}), trained(workspace), ENVIRONMENT)

    assert result.merged_output is not None
    files = hub.repositories["acme/demo"].files
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(files)
    assert "library_name: transformers" in files["README.md"].decode()


def test_after_a_failed_push_the_next_attempt_only_pushes(workspace: Path, hub: HubStandIn) -> None:
    first, second = (run_with(workspace, attempt, merge=True, push=PUSH) for attempt in (1, 2))
    hub.fail("repos/create", 503, headers={"Retry-After": "0"}, times=4)
    with pytest.raises(TrainerFailure, match="answers 503") as refusal:
        finish(first, trained(workspace), ENVIRONMENT)
    assert (refusal.value.exit_code, refusal.value.code) == (75, "PushFailed")

    failed = with_published(first.files, RunResult(exit_code=75, step=8))
    assert failed.output is not None
    assert failed.exit_code == 75
    kept = find_published(second.files)
    assert kept is not None
    assert kept.merged_output is not None
    result = finish(second, kept, ENVIRONMENT)

    assert stages(first) == ["saving", "uploading"]
    assert stages(second) == ["uploading"]
    assert result.pushed_url is not None
    assert (result.step, result.metrics, result.merged_output) == (8, {"loss": 1.0}, kept.merged_output)


def test_run_without_an_output_has_nothing_to_finish(workspace: Path) -> None:
    result = RunResult(exit_code=0)

    assert finish(run_with(workspace, merge=True, push=PUSH), result, {}) == result


def test_record_without_its_files_does_not_count(workspace: Path) -> None:
    result = trained(workspace)
    run = run_with(workspace)
    finish(run, result, {})
    assert result.output is not None
    (workspace / result.output.path / "fettle.json").unlink()

    assert find_published(run.files) is None


def test_push_without_a_token_is_refused_before_the_training(workspace: Path) -> None:
    require_finish(run_with(workspace).config, {})
    with pytest.raises(TrainerFailure, match=r"spec\.credentials\.secretName|no HF_TOKEN is given") as refusal:
        require_finish(run_with(workspace, push=PUSH).config, {})
    assert refusal.value.exit_code == 64
    assert "spec.credentials.secretName" in refusal.value.hint
