"""`python -m fettle_trainer.serve --model DIR|ID`: an engine with vLLM's API on one machine."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fettle_schema.errors import FettleError
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure

if TYPE_CHECKING:
    from fettle_trainer.serve.service import Service


@dataclass(frozen=True)
class Settings:
    """The command line."""

    model: str
    served_model_name: list[str]
    host: str
    port: int
    adapter: list[tuple[str, Path]]
    max_lora_rank: int
    max_adapters: int
    max_length: int | None
    max_batch: int
    max_waiting: int
    cache_mib: int
    precision: str
    drain_seconds: int
    admin_key_file: Path | None


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; an exit code."""
    settings = parse(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait awake make a busy machine ten times slower
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(serve(settings))
    except TrainerFailure as failure:
        print(f"{failure.code}: {failure.message}. {failure.hint}".rstrip(), file=sys.stderr)
        return int(failure.exit_code)
    except FettleError as error:  # an --adapter that cannot be served
        print(f"{error.code}: {error}", file=sys.stderr)
        return int(ExitCode.CONFIGURATION)
    return int(ExitCode.DONE)


def parse(arguments: list[str] | None) -> Settings:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m fettle_trainer.serve", description=__doc__)
    add = parser.add_argument
    add("--model", required=True, help="directory of the base model, or a hub id in the hub's cache")
    add("--served-model-name", nargs="+", default=[], help="names of the base model; default: as --model")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8000)
    add("--adapter", action="append", default=[], type=_named_path, metavar="NAME=PATH", help="may be repeated")
    add("--max-lora-rank", type=int, default=64)
    add("--max-adapters", type=int, default=32)
    add("--max-length", type=int, default=None, help="most tokens of prompt and answer; default: the model's")
    add("--max-batch", type=int, default=32, help="answers that are made at the same time")
    add("--max-waiting", type=int, default=256, help="answers that may wait; more get 429")
    add("--cache-mib", type=int, default=2048, help="memory for keys and values")
    add("--precision", choices=("auto", "bf16", "fp16", "fp32"), default="auto")
    add("--drain-seconds", type=int, default=30, help="after SIGTERM, time for running answers to end")
    add("--admin-key-file", type=Path, default=None, help="file with the key that loading and unloading need")
    return Settings(**vars(parser.parse_args(arguments)))


async def serve(settings: Settings) -> None:
    """Load, listen, and after SIGTERM let running answers end."""
    import uvicorn

    from fettle_trainer.serve.app import create_app

    admin_key = _read_key(settings.admin_key_file)
    if admin_key is None and settings.host not in ("127.0.0.1", "::1", "localhost"):
        logging.warning("no --admin-key-file: whoever reaches %s loads and unloads adapters", settings.host)
    config = uvicorn.Config(
        create_app(build_service(settings), admin_key),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=settings.drain_seconds,
        access_log=False,
        log_config=None,
    )
    # uvicorn raises the signal again when it has stopped; a stop that was asked for is a success.
    signal.signal(signal.SIGTERM, lambda *_: None)
    await uvicorn.Server(config).serve()


def build_service(settings: Settings) -> "Service":
    """An engine with its model and adapters loaded; TrainerFailure or RequestError says what cannot be served."""
    from fettle_trainer.serve.engine import Engine
    from fettle_trainer.serve.loading import choose_limits, find_model, load_model
    from fettle_trainer.serve.preparation import Preparation
    from fettle_trainer.serve.service import Service
    from fettle_trainer.serve.worker import Worker

    loaded = load_model(find_model(settings.model), settings.precision)
    limits = choose_limits(
        loaded,
        settings.max_length,
        settings.cache_mib << 20,
        max_batch=settings.max_batch,
        max_waiting=settings.max_waiting,
        max_lora_rank=settings.max_lora_rank,
        max_adapters=settings.max_adapters,
    )
    engine = Engine(loaded.model, loaded.tokenizer, settings.served_model_name or [settings.model], limits)
    for name, path in settings.adapter:
        engine.adapters.require_free(name, replaces=False)
        engine.add_adapter(name, path, engine.read_adapter(path))
    preparation = Preparation(loaded.tokenizer, limits.max_length, loaded.end_tokens, loaded.default_sampling)
    return Service(Worker(engine), preparation, settings.model)


def _named_path(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


def _read_key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        key = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise TrainerFailure(
            ExitCode.CONFIGURATION, f"--admin-key-file: {str(path)!r} cannot be read: {error.strerror}", "Correct it."
        ) from error
    if not key:
        raise TrainerFailure(ExitCode.CONFIGURATION, f"--admin-key-file: {str(path)!r} is empty", "Put a key there.")
    return key


if __name__ == "__main__":
    sys.exit(main())
