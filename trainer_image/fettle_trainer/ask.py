"""Answers of a base model and of an adapter: `python -m fettle_trainer.ask` reads a JSON request and writes JSON.

The base is loaded once and answers first; the adapter is then put on it. Decoding is greedy: the same request gives
the same answers. Request: {"model": DIR, "adapter": DIR or null, "prompts": […], "maxNewTokens": 64, "system": null}.
Answer: {"base": […], "adapter": […] or null}. Thirty short prompts take seconds: they are padded to one batch.
"""

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure, configuration_failure

BATCH_SIZE = 32


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
    if adapter is not None and not Path(adapter, "adapter_config.json").is_file():
        raise TrainerFailure(ExitCode.MODEL, f"{adapter!r} is not an adapter directory", "Give a published adapter.")
    model, tokenizer = _load(directory)
    texts = [_render(prompt, request.get("system"), tokenizer) for prompt in prompts]
    tokens = int(request.get("maxNewTokens") or 64)
    base = _generate(model, tokenizer, texts, tokens)
    if adapter is None:
        return {"base": base, "adapter": None}
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(model, adapter).eval()
    return {"base": base, "adapter": _generate(adapted, tokenizer, texts, tokens)}


def _load(directory: Path) -> tuple[Any, Any]:
    sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type] # not needed, and slow to import
    if not (directory / "config.json").is_file():
        raise TrainerFailure(ExitCode.MODEL, f"{str(directory)!r} is not a model directory", "Give the base model.")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from fettle_trainer.devices import choose_precision

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    uses_gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if choose_precision("auto", uses_gpu=uses_gpu) == "bf16" else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(directory, padding_side="left", local_files_only=True)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, local_files_only=True)
    return model.eval().to("cuda" if uses_gpu else "cpu"), tokenizer


def _render(prompt: str, system: str | None, tokenizer: Any) -> str:
    if tokenizer.chat_template is None:
        return prompt
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _generate(model: Any, tokenizer: Any, texts: list[str], max_new_tokens: int) -> list[str]:
    import torch

    answers: list[str] = []
    is_template = tokenizer.chat_template is not None
    for start in range(0, len(texts), BATCH_SIZE):
        batch = tokenizer(
            texts[start : start + BATCH_SIZE], return_tensors="pt", padding=True, add_special_tokens=not is_template
        ).to(model.device)
        with torch.inference_mode():
            ids = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=max_new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=_end_tokens(model, tokenizer),
            )
        new = ids[:, batch["input_ids"].shape[1] :]
        answers += [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]
    return answers


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    known = model.generation_config.eos_token_id  # several models end a turn with another token than a text
    listed = known if isinstance(known, list) else [known]
    return sorted({token for token in [*listed, tokenizer.eos_token_id] if token is not None})


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout))
