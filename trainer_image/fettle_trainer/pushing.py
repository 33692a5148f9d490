"""Uploading a published directory to a repository of the Hugging Face hub, once: the digest in the commit's title
says what is there already.

Every failure is a TrainerFailure that tells whether another attempt may help. Neither the token nor signed addresses
of uploads reach a log or a message.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fettle_schema.training_job import PushSpec
from fettle_schema.vocabulary import ExitCode, FailureCode
from fettle_trainer.failures import TrainerFailure, configuration_failure

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the name of a variable
CARD_FILE = "README.md"
TRIES = 4
MAX_PAUSE_SECONDS = 60.0
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})
_TITLE = re.compile(r"Fettle: .*\((sha256:[0-9a-f]{64})\)")

Pause = Callable[[float], None]


def require_push(environment: Mapping[str, str]) -> str:
    """The token for a push. TrainerFailure (64) if none is given or the hub is switched off: better before training."""
    if environment.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        raise configuration_failure(
            "spec.output.push", "HF_HUB_OFFLINE is set, so the hub is never called", "Remove it from spec.runtime.env."
        )
    token = environment.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise configuration_failure(
            "spec.output.push",
            f"no {TOKEN_VARIABLE} is given",
            f"Put a token that may write into a Secret under the key {TOKEN_VARIABLE}, and name the Secret in "
            "spec.credentials.secretName.",
        )
    return token


def push_directory(
    directory: Path,
    digest: str,
    spec: PushSpec,
    card: str,
    token: str,
    *,
    endpoint: str | None = None,
    pause: Pause = time.sleep,
) -> str:
    """Make the repository hold the files of `directory` and `card`; the address of the commit that does.

    A repository whose newest commit of ours has the same digest is left alone. What may pass is tried again for at
    most TRIES times, with `pause` between.
    """
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # its warnings hold signed addresses
    for number in range(1, TRIES + 1):
        failure, wait_seconds = None, 0.0
        try:
            return _push(directory, digest, spec, card, token, endpoint)
        except _hub_errors() as raised:
            error = _answered(raised)
            failure, wait_seconds = _explain(error, spec, token), _wait_seconds(error, number)
        if failure.exit_code is not ExitCode.RETRY or number == TRIES:
            # Not `from`: the trace of the library's error would show what `_explain` left out.
            raise failure
        print(f"{failure.message}; trying again in {wait_seconds:.0f} s", flush=True)
        pause(wait_seconds)
    raise AssertionError("unreachable")


def _push(directory: Path, digest: str, spec: PushSpec, card: str, token: str, endpoint: str | None) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(endpoint=endpoint, token=token, library_name="fettle")
    api.create_repo(spec.repository, private=spec.private, exist_ok=True)
    pushed = _newest_commit_of_ours(api, spec.repository)
    if pushed is not None and pushed[0] == digest:
        return f"{api.endpoint}/{spec.repository}/commit/{pushed[1]}"
    operations = [
        CommitOperationAdd(path.relative_to(directory).as_posix(), path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != CARD_FILE
    ]
    operations.append(CommitOperationAdd(CARD_FILE, card.encode()))
    title = f"Fettle: {directory.parent.name} ({digest})"
    commit = api.create_commit(spec.repository, operations, commit_message=title)
    return str(commit.commit_url)


def _newest_commit_of_ours(api: Any, repository: str) -> tuple[str, str] | None:
    for commit in api.list_repo_commits(repository):
        match = _TITLE.fullmatch(commit.title)
        if match is not None:
            return match.group(1), str(commit.commit_id)
    return None


def _hub_errors() -> tuple[type[Exception], ...]:
    """What the library raises: its own errors, those of its HTTP client, and plain ones for answers it cannot read."""
    import httpx2

    return (httpx2.HTTPError, OSError, ValueError, RuntimeError)


def _answered(error: Exception) -> Exception:
    """The error that holds the hub's answer: the library wraps those of uploads into errors without one."""
    cause = error.__cause__
    return cause if _status(error) is None and isinstance(cause, Exception) and _status(cause) else error


def _explain(error: Exception, spec: PushSpec, token: str) -> TrainerFailure:
    status = _status(error)
    text = _reason(error, token)
    where = f"spec.output.push.repository: {spec.repository!r}"
    namespace = spec.repository.partition("/")[0]
    known = {
        401: (f"{where}: the hub does not accept the token ({text})", "Renew HF_TOKEN in the Secret."),
        403: (
            f"{where}: the token may not write there ({text})",
            f"Use a token with write access to {namespace!r}, or another repository.",
        ),
        404: (f"{where} does not exist and could not be created ({text})", f"Check that {namespace!r} exists."),
        413: (f"{where}: the hub refuses files of this size ({text})", "Push the adapter instead of the merged model."),
    }
    if status in known:
        message, hint = known[status]
    elif status is not None and 400 <= status < 500 and status not in (408, 409, 425, 429):
        message, hint = f"{where}: the hub refuses the push ({text})", "Correct what it names."
    else:
        reached = f"answers {status}" if status is not None else "cannot be reached"
        return _push_failure(
            ExitCode.RETRY, f"{where}: the hub {reached} ({text})", "The push is tried again by itself."
        )
    return _push_failure(ExitCode.MODEL, message, hint)


def _push_failure(exit_code: ExitCode, message: str, hint: str) -> TrainerFailure:
    kept = "The result is published in the workspace and nothing is trained again."
    return TrainerFailure(exit_code, message, f"{hint} {kept}", failure_code=FailureCode.PUSH)


def _status(error: Exception) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return int(status) if status is not None else None


def _reason(error: Exception, token: str) -> str:
    """A line of what the hub or the network says, without secrets."""
    said = getattr(error, "server_message", None) or str(error)
    line = " ".join(said.split()) or type(error).__name__
    without_queries = re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1", line)
    return without_queries.replace(token, "***")[:300]


def _wait_seconds(error: Exception, number: int) -> float:
    """What the hub asks for, else longer each time; never more than MAX_PAUSE_SECONDS."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    asked = str(headers.get("Retry-After", ""))
    return min(float(asked) if asked.isdigit() else 2.0 ** (2 * number - 2), MAX_PAUSE_SECONDS)
