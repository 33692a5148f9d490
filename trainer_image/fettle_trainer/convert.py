"""A GGUF file → a model directory in Hugging Face format: `python -m fettle_trainer.convert SOURCE TARGET`.

The weights are dequantized once, to bf16; what the quantization lost stays lost.
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.publish import seal

_PROBE = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]


def main(arguments: Sequence[str]) -> int:
    """Convert, and say what came out."""
    if len(arguments) != 2:
        print("usage: python -m fettle_trainer.convert SOURCE.gguf TARGET_DIRECTORY", file=sys.stderr)
        return int(ExitCode.CONFIGURATION)
    try:
        convert_gguf(Path(arguments[0]), Path(arguments[1]))
    except TrainerFailure as failure:
        print(f"{failure.code}: {failure.message}. {failure.hint}", file=sys.stderr)
        return int(failure.exit_code)
    print(arguments[1])
    return int(ExitCode.DONE)


def convert_gguf(gguf: Path, target: Path) -> None:
    """Make the model directory `target`, or leave nothing there. TrainerFailure (66) if the file is no such model."""
    if not gguf.is_file():
        raise TrainerFailure(ExitCode.MODEL, f"{str(gguf)!r} is not a file", "Give the path of a .gguf file.")
    if target.exists():
        raise TrainerFailure(ExitCode.MODEL, f"{str(target)!r} exists already", "Remove it, or choose another place.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".tmp-{target.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _convert(gguf, temporary)
        seal(temporary)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _convert(gguf: Path, directory: Path) -> None:
    sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type] # not needed, and slow to import
    os.environ.setdefault("TQDM_DISABLE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    options = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16, **options
        )
    except Exception as error:  # a foreign file makes the library raise anything
        reason = f"{type(error).__name__}: {str(error)[:500]}"
        raise TrainerFailure(
            ExitCode.MODEL, f"{gguf.name!r} cannot be read ({reason})", "Give a GGUF file of a causal language model."
        ) from error
    tokenizer.model_max_length = int(model.config.max_position_embeddings)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    _check(directory, AutoTokenizer.from_pretrained(directory, local_files_only=True), model)


def _check(directory: Path, tokenizer: Any, model: Any) -> None:
    """Refuse a conversion that would train and answer nonsense."""
    problems = []
    if len(tokenizer) > model.config.vocab_size:
        problems.append(f"the tokenizer has {len(tokenizer)} tokens, the model {model.config.vocab_size}")
    if tokenizer.eos_token_id is None:
        problems.append("the tokenizer has no end token")
    text = "List all pods in kube-system: `kubectl get pods -n kube-system` — äöü 你好"
    if tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]).strip() != text:
        problems.append("the tokenizer does not give back the text that it was given")
    if tokenizer.chat_template is not None and "Hello" not in tokenizer.apply_chat_template(_PROBE, tokenize=False):
        problems.append("the chat template leaves the message out")
    if "quantization_config" in json.loads((directory / "config.json").read_text(encoding="utf-8")):
        problems.append("the weights are still quantized")
    if problems:
        raise TrainerFailure(
            ExitCode.MODEL, f"the conversion is not usable: {'; '.join(problems)}", "Try another file."
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
