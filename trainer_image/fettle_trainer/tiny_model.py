"""`python -m fettle_trainer.tiny_model WORKSPACE NAME`: a tiny random base model and a dataset, to try an installation.

A real Llama of 60 kB with a byte-level tokenizer and a ChatML template, made in a second. Nothing is downloaded, and
the same arguments give the same weights. It learns, but it can do nothing: it is for seeing that training works.
"""

import argparse
import json
import os
from pathlib import Path

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_ROLES = {
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "pad_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
}
_WORDS = ("pods", "nodes", "jobs", "logs", "secrets", "events")
_ROW_COUNT = 48


def build_tiny_model(
    directory: Path, *, chat_template: str | None = CHAT_TEMPLATE, seed: int = 0, hidden_size: int = 32
) -> Path:
    """Write model and tokenizer in Hugging Face format. As in real models, pad and end of turn are one token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    vocabulary = _write_tokenizer(directory, chat_template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    for path in directory.iterdir():
        path.chmod(0o644)
    return directory


def message_rows(count: int) -> list[dict[str, object]]:
    """Short conversations with something to learn: the answer repeats the question's word."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"show {_WORDS[index % len(_WORDS)]} {index}"},
                {"role": "assistant", "content": f"kubectl get {_WORDS[index % len(_WORDS)]}"},
            ]
        }
        for index in range(count)
    ]


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    """A dataset of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _write_tokenizer(directory: Path, chat_template: str | None) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*_SPECIAL_TOKENS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(_SPECIAL_TOKENS)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **_ROLES)
    fast.chat_template = chat_template
    directory.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(directory)
    return len(vocabulary)


def main(arguments: list[str] | None = None) -> None:
    """Write `models/NAME` and `datasets/NAME/train.jsonl`."""
    parser = argparse.ArgumentParser(prog="python -m fettle_trainer.tiny_model", description=__doc__)
    parser.add_argument("workspace", type=Path, help="directory of the workspace, /workspace in pods")
    parser.add_argument("name", help="name of the model and of the dataset")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(build_tiny_model(options.workspace / "models" / options.name))
    print(write_rows(options.workspace / "datasets" / options.name / "train.jsonl", message_rows(_ROW_COUNT)))


if __name__ == "__main__":
    main()
