"""Answers of a base model and of an adapter: `python -m fettle_trainer.ask` reads a JSON request and writes JSON.

Both answer in one batch of the engine that also serves, `fettle_trainer.serve`. Decoding is greedy: the same request
gives the same answers. Request: {"model": DIR, "adapter": DIR or null, "prompts": […], "maxNewTokens": 64, "system":
null}. Answer: {"base": […], "adapter": […] or null}.
"""

import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure, configuration_failure
from fettle_trainer.serve.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from fettle_trainer.serve.engine import Engine
    from fettle_trainer.serve.preparation import Preparation

_BATCH_SIZE = 64
_CACHE_BYTES = 2 << 30
_ADAPTER = "adapter"


def main(source: IO[str], target: IO[str]) -> int:
    """Answer one request; an exit code."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two spinning threads on a busy machine are ten times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        answers = answer(json.load(source))
    except TrainerFailure as failure:
        print(f"{failure.code}: {failure.message}. {failure.hint}".rstrip(), file=sys.stderr)
        return int(failure.exit_code)
    json.dump(answers, target, ensure_ascii=False)
    target.write("\n")
    return int(ExitCode.DONE)


def answer(request: dict[str, Any]) -> dict[str, list[str] | None]:
    """The answers to all prompts, with and without the adapter. TrainerFailure names what is wrong."""
    prompts = request.get("prompts")
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise configuration_failure("prompts", "must be a list of texts")
    directory, adapter = Path(str(request.get("model"))), request.get("adapter")
    try:
        engine, preparation = _load(directory, None if adapter is None else Path(adapter))
        return _answers(engine, preparation, prompts, request, has_adapter=adapter is not None)
    except NotFoundError as error:
        raise TrainerFailure(
            ExitCode.MODEL,
            f"{adapter!r} is not an adapter directory ({error.message.rstrip('.')})",
            "Give a published adapter.",
        ) from error
    except RequestError as error:
        raise TrainerFailure(ExitCode.CONFIGURATION, error.message.rstrip("."), "") from error


def _load(directory: Path, adapter: Path | None) -> tuple["Engine", "Preparation"]:
    if not (directory / "config.json").is_file():
        raise TrainerFailure(ExitCode.MODEL, f"{str(directory)!r} is not a model directory", "Give the base model.")
    from fettle_trainer.serve.adapter_files import read_adapter

    if adapter is not None:
        read_adapter(adapter)  # before seconds are spent on the base
    from fettle_trainer.serve.engine import Engine
    from fettle_trainer.serve.loading import choose_limits, load_model
    from fettle_trainer.serve.preparation import Preparation

    loaded = load_model(directory)
    limits = choose_limits(
        loaded, None, _CACHE_BYTES, max_batch=_BATCH_SIZE, max_waiting=1 << 30, max_lora_rank=1 << 16
    )
    engine = Engine(loaded.model, loaded.tokenizer, ["base"], limits)
    if adapter is not None:
        engine.add_adapter(_ADAPTER, adapter, engine.read_adapter(adapter))
    return engine, Preparation(loaded.tokenizer, limits.max_length, loaded.end_tokens)


def _answers(
    engine: "Engine", preparation: "Preparation", prompts: list[str], request: dict[str, Any], *, has_adapter: bool
) -> dict[str, list[str] | None]:
    tokens, system = int(request.get("maxNewTokens") or 64), request.get("system")
    asked = [preparation.of_prompt(prompt, system, tokens, index) for index, prompt in enumerate(prompts)]
    base = engine.begin(asked)
    adapted = engine.begin(asked, _ADAPTER) if has_adapter else None
    engine.run()
    return {"base": _texts(base), "adapter": None if adapted is None else _texts(adapted)}


def _texts(answers: dict[int, Any]) -> list[str]:
    return [answers[index].text.strip() for index in sorted(answers)]


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout))
