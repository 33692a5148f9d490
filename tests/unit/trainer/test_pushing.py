"""A push does its work once, tries again what may pass, and gives no secret away."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.training_job import PushSpec
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.pushing import push_directory, require_push
from tests.support.hub_stand_in import SIGNATURE, HubStandIn, serve_hub

# huggingface_hub hands files to its HTTP client in a way that is deprecated there
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

TOKEN = "hf_canary_0123456789"
SPEC = PushSpec(repository="acme/kubectl-helper")
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hub's library as in a pod: online, without Xet (which the stand-in does not speak), and without waiting."""
    from huggingface_hub import close_session, constants
    from huggingface_hub.utils import _http

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    yield
    close_session()


@pytest.fixture
def hub() -> Iterator[HubStandIn]:
    with serve_hub(TOKEN) as hub:
        yield hub


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    directory = tmp_path / "kubectl-helper" / "aaaaaaaaaaaa"
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text("{}")
    (directory / "adapter_model.safetensors").write_bytes(bytes(5000))
    (directory / "sub").mkdir()
    (directory / "sub" / "more.txt").write_text("more")
    return directory


def push(hub: HubStandIn, artifact: Path, pauses: list[float] | None = None, **changes: Any) -> str:
    given: dict[str, Any] = {"digest": DIGEST, "token": TOKEN, "endpoint": hub.endpoint, **changes}
    waits = pauses if pauses is not None else []
    return push_directory(artifact, spec=SPEC, card="---\ntags: [a]\n---\n# card\n", pause=waits.append, **given)


def test_repository_holds_the_files_and_the_card(hub: HubStandIn, artifact: Path) -> None:
    url = push(hub, artifact)

    repository = hub.repositories["acme/kubectl-helper"]
    assert repository.is_private
    assert repository.files.pop("README.md").startswith(b"---\n")
    assert repository.files == {
        path.relative_to(artifact).as_posix(): path.read_bytes() for path in artifact.rglob("*") if path.is_file()
    }
    assert url == f"{hub.endpoint}/acme/kubectl-helper/commit/{repository.commits[0]['id']}"
    assert not (artifact / "README.md").exists()


def test_what_is_there_already_is_not_uploaded_again(hub: HubStandIn, artifact: Path) -> None:
    first = push(hub, artifact)
    before = hub.count("upload|commit/")

    assert push(hub, artifact) == first
    assert hub.count("upload|commit/") == before


def test_another_digest_is_another_commit(hub: HubStandIn, artifact: Path) -> None:
    first = push(hub, artifact)
    (artifact / "sub" / "more.txt").write_text("changed")
    second = push(hub, artifact, digest=f"sha256:{'b' * 64}")

    assert second != first
    assert hub.repositories["acme/kubectl-helper"].files["sub/more.txt"] == b"changed"
    assert push(hub, artifact, digest=DIGEST) not in (first, second)  # the newest commit decides


PASSING = {
    "rate limit": ("repos/create", 429, {"Retry-After": "7"}, [7.0]),
    "far too long a wait": ("repos/create", 429, {"Retry-After": "7000"}, [60.0]),
    "fault": ("repos/create", 500, {}, [1.0]),
    "fault of the commit": ("commit/main", 503, {}, [1.0]),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_passes_is_tried_again(hub: HubStandIn, artifact: Path, case: str) -> None:
    path, status, headers, expected = PASSING[case]
    hub.fail(path, status, times=1, headers=headers)
    pauses: list[float] = []

    push(hub, artifact, pauses)
    assert pauses == expected
    assert len(hub.repositories["acme/kubectl-helper"].files) == 4


LASTING = {
    "wrong token": ("repos/create", 401, 66, "does not accept the token"),
    "no write access": ("commit/main", 403, 66, "may not write there"),
    "unknown namespace": ("repos/create", 404, 66, "does not exist and could not be created"),
    "too large": ("commit/main", 413, 66, "refuses files of this size"),
    "refused": ("commit/main", 422, 66, "refuses the push"),
    "rate limit": ("repos/create", 429, 75, "answers 429"),
    "fault": ("commit/main", 500, 75, "answers 500"),
    "fault of the upload": ("PUT /upload", 500, 75, "answers 500"),
}


@pytest.mark.parametrize("case", LASTING)
def test_what_lasts_is_a_failure_with_a_hint_and_no_secret(
    hub: HubStandIn,
    artifact: Path,
    case: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, status, code, message = LASTING[case]
    hub.fail(path, status, message=f"because of {TOKEN}")
    if status == 401:
        hub.fail("GET /api/models", 401)
    pauses: list[float] = []

    with caplog.at_level(logging.DEBUG), pytest.raises(TrainerFailure) as refusal:
        push(hub, artifact, pauses)

    failure = refusal.value
    assert (failure.exit_code, failure.code) == (code, "PushFailed")
    assert message in failure.message
    assert "'acme/kubectl-helper'" in failure.message
    assert "nothing is trained again" in failure.hint
    assert len(pauses) == (3 if code == 75 else 0)
    assert failure.__cause__ is None
    assert failure.__context__ is None
    told = f"{failure.message} {failure.hint} {''.join(capfd.readouterr())}"
    for secret in (TOKEN, SIGNATURE):
        assert secret not in told


def test_hub_that_cannot_be_reached_is_left_to_the_next_attempt(hub: HubStandIn, artifact: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(TrainerFailure, match="cannot be reached") as refusal:
        push(hub, artifact, endpoint=nobody)
    assert refusal.value.exit_code == 75


def test_commit_whose_answer_was_lost_is_found(hub: HubStandIn, artifact: Path) -> None:
    push(hub, artifact)
    repository = hub.repositories["acme/kubectl-helper"]
    title = repository.commits[0]["title"]

    push(hub, artifact)
    assert [commit["title"] for commit in repository.commits].count(title) == 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "no HF_TOKEN is given"),
        ({"HF_TOKEN": " "}, "no HF_TOKEN is given"),
        ({"HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ],
)
def test_push_that_cannot_work_is_refused_by_name(environment: dict[str, str], message: str) -> None:
    with pytest.raises(TrainerFailure, match=message) as refusal:
        require_push(environment)
    assert refusal.value.exit_code == 64
    assert refusal.value.message.startswith("spec.output.push: ")
    assert TOKEN not in refusal.value.message + refusal.value.hint


def test_token_is_taken_from_the_environment() -> None:
    assert require_push({"HF_TOKEN": f"{TOKEN}\n", "HF_HUB_OFFLINE": "0"}) == TOKEN
