"""`make bench-memory`: the memory of real runs beside their estimates, on eight configurations.

On the CPU (the default) small models with random weights train, and resident memory is compared; the goal is 20 %. With
FETTLE_BENCH_GPU=1 larger ones train on a GPU, and torch.cuda.max_memory_reserved is compared; the goal is 5 % in the
median and 10 % at worst. The result is a section of docs/benchmarks.md.
"""

import os
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fettle_schema.estimate.memory import MemoryEstimate, estimate_memory
from fettle_schema.estimate.memory_settings import memory_settings
from fettle_schema.estimate.shape import ModelShape
from fettle_schema.training_job import TrainingJobSpec
from tests.bench.report import machine_and_versions, write_section
from tests.support.runs import finish_run, run_config, write_run
from tests.support.tiny_model import build_tiny_model, write_rows
from tests.support.training_data import pair_rows

USES_GPU = os.environ.get("FETTLE_BENCH_GPU") == "1"
STEPS = 3
MIB = 2**20

_SMALL = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8}
_DEEP = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 24, "num_attention_heads": 8}
_WIDE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 8, "num_attention_heads": 16}
_LARGE = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}


@dataclass(frozen=True)
class Case:
    """One run."""

    name: str
    model: dict[str, int]
    adapter: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    method: str = "sft"


_FULL = {"type": "none"}
CASES = [
    Case("LoRA", _SMALL),
    Case("LoRA, long", _SMALL, hyperparameters={"maxLength": 480, "batchSize": 4}),
    Case("LoRA, checkpointing", _DEEP, hyperparameters={"gradientCheckpointing": True}),
    Case("LoRA, deep", _DEEP),
    Case("LoRA r64 on attention", _WIDE, {"rank": 64, "targetModules": ["q_proj", "v_proj"]}),
    Case("full", _SMALL, _FULL),
    Case("full, wide, checkpointing", _WIDE, _FULL, {"gradientCheckpointing": True}),
    Case("LoRA, dpo", _SMALL, method="dpo", hyperparameters={"beta": 0.1, "batchSize": 2}),
]
GPU_CASES = [
    Case("LoRA", _LARGE, hyperparameters={"gradientCheckpointing": False}),
    Case("LoRA, checkpointing", _LARGE, hyperparameters={"gradientCheckpointing": True, "batchSize": 16}),
    Case("QLoRA", _LARGE, {"type": "qlora"}, {"gradientCheckpointing": False}),
    Case("QLoRA, checkpointing", _LARGE, {"type": "qlora"}, {"gradientCheckpointing": True, "batchSize": 16}),
    Case("QLoRA, 8 bits", _LARGE, {"type": "qlora", "quantization": {"bits": 8}}, {"gradientCheckpointing": True}),
    Case("full", _LARGE, _FULL, {"gradientCheckpointing": False}),
    Case("full, checkpointing", _LARGE, _FULL, {"gradientCheckpointing": True, "batchSize": 16}),
    Case("LoRA, dpo", _LARGE, method="dpo", hyperparameters={"beta": 0.1, "gradientCheckpointing": False}),
]


def main() -> None:
    """Run all cases, print a table and write it into the report."""
    lines = ["| | measured MiB | estimate MiB (low … high) | difference |", "|---|---|---|---|"]
    differences = []
    for case in GPU_CASES if USES_GPU else CASES:
        with tempfile.TemporaryDirectory(prefix="fettle-bench-") as scratch:
            workspace = Path(scratch) / "workspace"
            config = make_workspace(workspace, case)
            estimate = estimated(case, config)
            measured = measure(workspace, case)
        expected = estimate.reserved if USES_GPU else estimate.expected
        difference = expected / measured - 1
        differences.append(abs(difference))
        bounds = f"{estimate.low / MIB:.0f} … {estimate.high / MIB:.0f}"
        lines.append(f"| {case.name} | {measured / MIB:.0f} | {expected / MIB:.0f} ({bounds}) | {difference:+.1%} |")
        print(lines[-1], flush=True)
    what = "torch.cuda.max_memory_reserved" if USES_GPU else "resident memory"
    summary = f"Median {statistics.median(differences):.1%}, worst {max(differences):.1%}; {what}."
    table = "\n".join([*lines, "", f"{summary} {machine_and_versions('torch', 'transformers', 'trl', 'peft')}", ""])
    print(table)
    write_section(f"Memory: estimates and {'GPU runs' if USES_GPU else 'CPU runs'}", table)


def make_workspace(workspace: Path, case: Case) -> dict[str, Any]:
    """Model and dataset of a case; returns the model's configuration. Every example is as long as is allowed."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    directory = workspace / "models" / "tiny"
    build_tiny_model(directory)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory)
    config = LlamaConfig(
        vocab_size=8192,
        max_position_embeddings=4096,
        num_key_value_heads=case.model["num_attention_heads"] // 2,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **case.model,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    words = "word " * 400
    if case.method == "dpo":
        rows = pair_rows(64)
        for row in rows:
            row["chosen"] = [{"role": "assistant", "content": f"yes {words}"}]
            row["rejected"] = [{"role": "assistant", "content": f"no {words}"}]
    else:
        answer = {"role": "assistant", "content": words}
        rows = [{"messages": [{"role": "user", "content": f"q{number}"}, answer]} for number in range(64)]
    write_rows(workspace / "datasets" / "train.jsonl", rows)
    return config.to_dict()


def settings_of(case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """Adapter and hyperparameters, with what all cases have in common."""
    common = {"batchSize": 4, "maxLength": 256, "precision": "bf16" if USES_GPU else "fp32", "maxSteps": STEPS}
    if USES_GPU:
        common["maxLength"] = 1024
    adapter = {"type": "lora", "rank": 16, "alpha": 32, "dropout": 0.05, "targetModules": ["all-linear"]}
    adapter = _FULL if case.adapter == _FULL else {**adapter, **case.adapter}
    return adapter, {**common, "gradientCheckpointing": False, **case.hyperparameters}


def estimated(case: Case, config: dict[str, Any]) -> MemoryEstimate:
    """The estimate, from the configuration alone."""
    adapter, hyperparameters = settings_of(case)
    spec = TrainingJobSpec.model_validate(
        {
            "method": case.method,
            "baseModel": {"path": "models/tiny"},
            "adapter": adapter,
            "hyperparameters": hyperparameters,
            "resources": {"gpusPerNode": int(USES_GPU)},
        }
    )
    return estimate_memory(ModelShape.from_config(config), memory_settings(spec))


def measure(workspace: Path, case: Case) -> int:
    """Peak memory of a run, as it reports it."""
    adapter, hyperparameters = settings_of(case)
    config = run_config(
        method=case.method,
        hyperparameters={"gradientAccumulationSteps": 1, "optimizer": "adamw_torch", **hyperparameters},
        checkpoint={"everySteps": 1000},
        topology={"usesGpu": USES_GPU},
    )
    config["adapter"] = adapter
    files = write_run(workspace, config)
    status = finish_run(files, timeout_seconds=900)
    if status != 0:
        raise SystemExit(f"{case.name}: the run ended with {status}\n{files.log()[-2000:]}")
    return int(files.result()["metrics"]["peakMemoryBytes"])


if __name__ == "__main__":
    main()
