"""The peers of `make bench-trainer`: bare TRL, and the loop that one would write by hand over transformers and PEFT.

`python -m tests.bench.peers trl|loop sft|dpo WORKSPACE BATCH_SIZE STEPS TARGET` writes when each step ended, and the
peak of resident memory, as JSON.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

LENGTH = 256

sys.modules["bitsandbytes"] = None  # type: ignore[assignment] # nobody needs it here


def main(peer: str, method: str, workspace: str, batch_size: str, steps: str, target: str) -> None:
    """Train, and write the times."""
    train = {"trl": train_with_trl, "loop": train_by_hand}[peer]
    ends = train(method, Path(workspace), int(batch_size), int(steps))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Path(target).write_text(json.dumps({"ends": ends, "peakBytes": peak}))


def load(workspace: Path) -> tuple[Any, Any, list[dict[str, str]]]:
    """Model, tokenizer and rows; the dtype is what the machine computes in fastest, as everybody would choose."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.bfloat16 if uses_bf16() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(workspace / "models/smollm2-135m", dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(workspace / "models/smollm2-135m")
    rows = [json.loads(line) for line in (workspace / "datasets/bench.jsonl").read_text().splitlines()]
    return model, tokenizer, rows


def uses_bf16() -> bool:
    """Whether the CPU multiplies bf16 itself."""
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()


def lora() -> Any:
    """The adapter that all train."""
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def train_with_trl(method: str, workspace: Path, batch_size: int, steps: int) -> list[float]:
    """TRL as its documentation shows it; gradient checkpointing off, as in the others."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.time())

    model, tokenizer, rows = load(workspace)
    config_class, trainer_class = (SFTConfig, SFTTrainer) if method == "sft" else (DPOConfig, DPOTrainer)
    config = config_class(
        output_dir=str(workspace / "trl"),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        max_length=LENGTH,
        bf16=uses_bf16(),
        use_cpu=True,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_steps=1,
    )
    trainer_class(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora(),
        callbacks=[Clock()],
    ).train()
    return ends


def train_by_hand(method: str, workspace: Path, batch_size: int, steps: int) -> list[float]:
    """Forward, loss on the labelled tokens only, backward, clip, step."""
    import torch
    from peft import get_peft_model

    model, tokenizer, rows = load(workspace)
    model = get_peft_model(model, lora())
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0)
    loss_of = loss_of_answers if method == "sft" else loss_of_pairs
    ends = []
    for step in range(steps):
        batch = [rows[(step * batch_size + index) % len(rows)] for index in range(batch_size)]
        loss_of(model, tokenizer, batch).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.time())
    return ends


def encode(tokenizer: Any, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    """Token ids, and labels on the answer."""
    before = len(tokenizer(prompt)["input_ids"]) if prompt else 0
    ids = tokenizer(prompt + answer)["input_ids"][:LENGTH]
    return ids, [-100] * before + ids[before:]


def log_probabilities(model: Any, pairs: list[tuple[list[int], list[int]]]) -> tuple[Any, Any]:
    """Log-probability of each labelled token, and the row it belongs to."""
    import torch

    ids = torch.tensor([ids for ids, _ in pairs])
    labels = torch.tensor([labels for _, labels in pairs])[:, 1:]
    hidden = model.base_model.model.model(input_ids=ids)[0][:, :-1]
    is_labelled = labels != -100
    logits = hidden[is_labelled] @ model.get_output_embeddings().weight.t()
    found = torch.log_softmax(logits.float(), -1).gather(1, labels[is_labelled][:, None])[:, 0]
    return found, is_labelled.nonzero()[:, 0]


def loss_of_answers(model: Any, tokenizer: Any, rows: list[dict[str, str]]) -> Any:
    """Mean cross-entropy."""
    pairs = [encode(tokenizer, row.get("prompt", ""), row.get("completion") or row["text"]) for row in rows]
    return -log_probabilities(model, pairs)[0].mean()


def loss_of_pairs(model: Any, tokenizer: Any, rows: list[dict[str, str]]) -> Any:
    """-log sigmoid(beta × margin), the base without the adapter as reference."""
    import torch

    pairs = [encode(tokenizer, row["prompt"], row[side]) for side in ("chosen", "rejected") for row in rows]

    def sums() -> Any:
        found, owners = log_probabilities(model, pairs)
        return torch.zeros(len(pairs)).index_add(0, owners, found)

    with torch.no_grad(), model.disable_adapter():
        reference = sums()
    chosen, rejected = (sums() - reference).chunk(2)
    return -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).mean()


if __name__ == "__main__":
    main(*sys.argv[1:])
