"""A tiny Llama with a byte-level tokenizer and a ChatML template: a real model of 60 kB, made in a second.

`python -m tests.support.tiny_model DIRECTORY` makes one; the same arguments give the same weights.
"""

import json
import os
import shutil
import sys
from pathlib import Path

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


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


def spoil_weights(model: Path) -> None:
    """A base model whose last norm holds a NaN, as a bad merge or a bad quantization leaves it."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, model / "model.safetensors", {"format": "pt"})


def _write_tokenizer(directory: Path, chat_template: str | None) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=512,
    )
    fast.chat_template = chat_template
    directory.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(directory)
    return len(vocabulary)


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    """A dataset of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def message_rows(count: int) -> list[dict[str, object]]:
    """Short conversations with something to learn: the answer repeats the question's word."""
    words = ("pods", "nodes", "jobs", "logs", "secrets", "events")
    return [
        {
            "messages": [
                {"role": "user", "content": f"show {words[index % len(words)]} {index}"},
                {"role": "assistant", "content": f"kubectl get {words[index % len(words)]}"},
            ]
        }
        for index in range(count)
    ]


def make_workspace(directory: Path, tiny_model: Path) -> Path:
    """A workspace that holds `models/tiny` and `datasets/train.jsonl`."""
    shutil.copytree(tiny_model, directory / "models" / "tiny")
    write_rows(directory / "datasets" / "train.jsonl", message_rows(24))
    return directory


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(build_tiny_model(Path(sys.argv[1])))
