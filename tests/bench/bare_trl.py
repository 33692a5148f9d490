"""The peer of `make bench-start`: SFT over plain TRL, with the settings of examples/kubectl-helper.yaml, one step."""

import json
import sys
from pathlib import Path
from typing import Any

from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

workspace, target = Path(sys.argv[1]), Path(sys.argv[2])
MODEL = str(workspace / "models" / "smollm2-135m")


class FirstStep(TrainerCallback):  # type: ignore[misc]
    """Leaves a line when a step is done."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        target.write_text(json.dumps({"kind": "step", "step": state.global_step}) + "\n")


def conversation(row: dict[str, Any]) -> dict[str, Any]:
    """A pair as TRL expects it for loss on the answer only."""
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}


(file,) = sorted((workspace / "datasets" / "kubectl").rglob("*.jsonl"), key=lambda path: path.stat().st_size)[-1:]
rows = load_dataset("json", data_files=str(file), split="train", cache_dir=str(target.parent / "cache"))
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(MODEL, dtype="float32"),
    processing_class=AutoTokenizer.from_pretrained(MODEL),
    train_dataset=rows.map(conversation, remove_columns=rows.column_names),
    args=SFTConfig(
        output_dir=str(target.parent / "trl"),
        max_steps=1,
        per_device_train_batch_size=4,
        learning_rate=5e-4,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
    ),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    callbacks=[FirstStep()],
)
trainer.train()
