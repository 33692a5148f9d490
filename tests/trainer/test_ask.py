"""Answers with and without an adapter."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fettle_trainer.ask import answer
from tests.support.runs import RunFiles, environment


def ask(files: RunFiles, **request: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fettle_trainer.ask"],
        input=json.dumps(request),
        env=environment(files),
        capture_output=True,
        text=True,
        check=False,
    )


def test_both_answer_each_prompt_and_greedily(uninterrupted: RunFiles, tiny_model: Path) -> None:
    adapter = uninterrupted.workspace / uninterrupted.result()["output"]["path"]
    prompts = ["show pods", "show a much longer list of nodes", "hi"]

    first = ask(uninterrupted, model=str(tiny_model), adapter=str(adapter), prompts=prompts, maxNewTokens=8)
    assert first.returncode == 0, first.stderr
    answers = json.loads(first.stdout)
    assert [len(answers["base"]), len(answers["adapter"])] == [3, 3]
    assert answers["base"] != answers["adapter"]
    base_only = answer({"model": str(tiny_model), "adapter": None, "prompts": prompts, "maxNewTokens": 8})
    assert base_only == {"base": answers["base"], "adapter": None}


@pytest.mark.parametrize(
    ("request_", "code", "expected"),
    [
        ({"model": "none", "prompts": []}, 66, "is not a model directory"),
        ({"model": "none", "prompts": "text"}, 64, "must be a list of texts"),
    ],
)
def test_request_that_cannot_be_answered_is_refused(
    uninterrupted: RunFiles, request_: dict[str, Any], code: int, expected: str
) -> None:
    refused = ask(uninterrupted, **request_)

    assert refused.returncode == code
    assert expected in refused.stderr


def test_a_directory_without_an_adapter_is_refused_before_the_model_is_loaded(
    uninterrupted: RunFiles, tiny_model: Path, tmp_path: Path
) -> None:
    refused = ask(uninterrupted, model=str(tiny_model), adapter=str(tmp_path), prompts=["hi"])

    assert refused.returncode == 66
    assert "is not an adapter directory" in refused.stderr
    assert "adapter_config.json is missing" in refused.stderr
