"""A merge gives what PEFT gives, bit by bit, and says which tensor does not fit."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle_trainer import checkpoints
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.merging import INDEX_FILE, merge_adapter
from fettle_trainer.publish import directory_digest
from tests.support.adapters import in_process_run, publish_random_adapter
from tests.support.runs import finish_run, run_config, write_run

pytestmark = [
    # PEFT's advice about tied weights, which is what some of these cases are about
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),
    pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied"),
]

LORA: dict[str, Any] = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj", "down_proj"]}
CASES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "lora on bf16": ("bfloat16", True, {}),
    "lora on fp32, several files": ("float32", True, {"target_modules": "all-linear"}),
    "rslora": ("bfloat16", False, {"use_rslora": True}),
    "dora on bf16": ("bfloat16", True, {"use_dora": True}),
    "dora on fp32": ("float32", True, {"use_dora": True}),
    "all biases": ("bfloat16", False, {"bias": "all"}),
    "biases of the changed layers": ("float32", True, {"bias": "lora_only"}),
    "head of its own": ("bfloat16", False, {"modules_to_save": ["lm_head"]}),
    "lora on a head of its own": ("bfloat16", False, {"target_modules": ["q_proj", "lm_head"]}),
    "tied head, trained whole": ("bfloat16", True, {"modules_to_save": ["lm_head"]}),
    "tied embedding, trained whole": ("bfloat16", True, {"modules_to_save": ["embed_tokens"]}),
    "tied head, trained whole and still tied": (
        "bfloat16",
        True,
        {"modules_to_save": ["lm_head"], "ensure_weight_tying": True},
    ),
    "both, trained whole": ("bfloat16", True, {"modules_to_save": ["embed_tokens", "lm_head"]}),
}

Make = Callable[..., tuple[Path, Path]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Base model and adapter, both of random numbers, as transformers and PEFT write them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    def make(dtype: str = "bfloat16", is_tied: bool = True, **changes: Any) -> tuple[Path, Path]:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=96,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            attention_bias=True,
            tie_word_embeddings=is_tied,
        )
        model = LlamaForCausalLM(config).to(getattr(torch, dtype))
        base, adapter = tmp_path / "base", tmp_path / "adapter"
        model.save_pretrained(base, max_shard_size="20KB")
        (base / "tokenizer_config.json").write_text("{}")
        (base / "README.md").write_text("a card")
        tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **{**LORA, **changes}))
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.data = torch.randn(parameter.shape).to(parameter.dtype)
        tuned.save_pretrained(adapter)
        return base, adapter

    return make


def merged_by_peft(base: Path, adapter: Path, dtype: str) -> Any:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    return PeftModel.from_pretrained(model, adapter).merge_and_unload()


@pytest.mark.parametrize("case", CASES)
def test_merge_equals_that_of_peft_bit_by_bit(make: Make, tmp_path: Path, case: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    dtype, is_tied, changes = CASES[case]
    base, adapter = make(dtype, is_tied, **changes)
    target = tmp_path / "merged"
    target.mkdir()

    merge_adapter(base, adapter, target)

    expected = merged_by_peft(base, adapter, dtype)
    model, report = AutoModelForCausalLM.from_pretrained(target, dtype="auto", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    found = model.state_dict()
    for name, tensor in expected.state_dict().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    assert model.config.tie_word_embeddings == expected.config.tie_word_embeddings


def test_result_has_the_shards_and_small_files_of_the_base(make: Make, tmp_path: Path) -> None:
    base, adapter = make()
    target = tmp_path / "merged"
    target.mkdir()

    merge_adapter(base, adapter, target)

    assert {path.name for path in target.iterdir()} == {path.name for path in base.iterdir()} - {"README.md"}
    assert json.loads((target / INDEX_FILE).read_text()) == json.loads((base / INDEX_FILE).read_text())
    shards = {path.name: path.stat().st_size for path in target.glob("*.safetensors")}
    assert len(shards) > 1
    assert shards == {path.name: path.stat().st_size for path in base.glob("*.safetensors")}


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


Q = "base_model.model.model.layers.0.self_attn.q_proj"
Spoil = Callable[[Path, Path], object]
WEIGHTS = "adapter_model.safetensors"


def first_shard(base: Path) -> Path:
    return sorted(base.glob("*.safetensors"))[0]


def spoil_value(tensors: dict[str, Any]) -> None:
    tensors[f"{Q}.lora_B.weight"][0, 0] = float("nan")


REFUSALS: dict[str, tuple[Spoil, int, str]] = {
    "other rank": (
        lambda b, a: edit_json(a / "adapter_config.json", r=2),
        66,
        r"down_proj.lora_A.weight'.*\[4, 48\].*rank 2",
    ),
    "half a pair": (
        lambda b, a: edit_tensors(a / WEIGHTS, lambda t: t.pop(f"{Q}.lora_A.weight")),
        66,
        r"'model.layers.0.self_attn.q_proj.weight' it holds factor_b without factor_a",
    ),
    "other shape": (
        lambda b, a: edit_tensors(
            a / WEIGHTS, lambda t: t.update({f"{Q}.lora_B.weight": t[f"{Q}.lora_B.weight"][:-1]})
        ),
        66,
        r"q_proj.lora_B.weight' has the shape \[31, 4\]",
    ),
    "unknown layer": (
        lambda b, a: edit_tensors(
            a / WEIGHTS, lambda t: [t.update({k.replace("layers.1", "layers.9"): t.pop(k)}) for k in list(t)]
        ),
        66,
        r"changes 'model.layers.9.*which the base model does not have",
    ),
    "not finite": (lambda b, a: edit_tensors(a / WEIGHTS, spoil_value), 71, r"q_proj.weight' is not finite"),
    "no lora": (lambda b, a: edit_json(a / "adapter_config.json", peft_type="IA3"), 66, "peft_type is 'IA3'"),
    "other computation": (lambda b, a: edit_json(a / "adapter_config.json", rank_pattern={"q": 2}), 66, "rank_pattern"),
    "no weights": (lambda b, a: (a / WEIGHTS).unlink(), 66, "adapter_model.safetensors cannot be read"),
    "missing shard": (lambda b, a: first_shard(b).unlink(), 66, "model-00001-of-.* is missing"),
    "short shard": (
        lambda b, a: first_shard(b).write_bytes(first_shard(b).read_bytes()[:-8]),
        66,
        "model-00001-of-.* is damaged: it has",
    ),
    "missing tensor": (
        lambda b, a: edit_tensors(first_shard(b), lambda t: t.pop("model.embed_tokens.weight")),
        66,
        "'model.embed_tokens.weight' is missing from model-00001",
    ),
    "quantized base": (lambda b, a: edit_json(b / "config.json", quantization_config={}), 66, "quantized"),
    "no index": (lambda b, a: (b / INDEX_FILE).unlink(), 66, "neither model.safetensors nor"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_files_that_do_not_fit_are_named(make: Make, tmp_path: Path, case: str) -> None:
    spoil, code, message = REFUSALS[case]
    base, adapter = make()
    spoil(base, adapter)
    target = tmp_path / "merged"
    target.mkdir()

    with pytest.raises(TrainerFailure, match=message) as refusal:
        merge_adapter(base, adapter, target)
    assert refusal.value.exit_code == code
    assert refusal.value.hint


def test_lora_on_a_tied_head_is_refused(make: Make, tmp_path: Path) -> None:
    base, adapter = make(is_tied=False, target_modules=["lm_head"])
    edit_json(base / "config.json", tie_word_embeddings=True)
    target = tmp_path / "merged"
    target.mkdir()

    with pytest.raises(TrainerFailure, match=r"'lm_head.weight', which is one tensor with the embedding"):
        merge_adapter(base, adapter, target)


def test_full_disk_names_the_tensor(make: Make, small_disk: Path) -> None:
    base, adapter = make()
    target = small_disk / "merged"
    target.mkdir()
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(bytes(free - 40_960))

    with pytest.raises(TrainerFailure, match=r"could not write '.*\.weight' of the merged model") as refusal:
        merge_adapter(base, adapter, target)
    assert refusal.value.exit_code == 67


def test_memory_holds_one_tensor_and_its_factors(tmp_path: Path) -> None:
    import tracemalloc

    import torch
    from safetensors.torch import save_file

    base, adapter, target = (tmp_path / name for name in ("base", "adapter", "merged"))
    for directory in (base, adapter, target):
        directory.mkdir()
    (base / "config.json").write_text('{"tie_word_embeddings": false}')
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    layers = [f"layers.{index}" for index in range(40)]
    save_file({f"{layer}.weight": torch.ones(256, 1024) for layer in layers}, base / "model.safetensors")
    shapes = {"lora_A": (2, 1024), "lora_B": (256, 2)}
    factors = {
        f"base_model.model.{layer}.{part}.weight": torch.ones(shape)
        for layer in layers
        for part, shape in shapes.items()
    }
    save_file(factors, adapter / WEIGHTS)

    tracemalloc.start()
    merge_adapter(base, adapter, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (target / "model.safetensors").stat().st_size > 40 * 2**20
    assert peak < 4 * 2**20  # a tensor is one MiB


def merge_run(workspace: Path, start: dict[str, Any], attempt: int = 1) -> Any:
    from fettle_trainer.methods import merge

    changes = {"method": "merge", "dataset": None, "start": start, "output": {"name": "merged"}}
    return merge.run(in_process_run(workspace, attempt, **changes))


def test_method_merge_publishes_a_model_that_loads(workspace: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = publish_random_adapter(workspace)

    result = merge_run(workspace, {"adapterPath": adapter.path})

    assert result.output.kind == "model"
    assert result.output.path == f"models/merged/{result.output.digest.removeprefix('sha256:')[:12]}"
    directory = workspace / result.output.path
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o644}
    assert directory_digest(directory) == result.output.digest
    provenance = json.loads((directory / "fettle.json").read_text())
    assert provenance["baseModel"]["name"] == "models/tiny"
    assert AutoTokenizer.from_pretrained(directory).eos_token == "<|im_end|>"
    merged = AutoModelForCausalLM.from_pretrained(directory).state_dict()
    expected = merged_by_peft(workspace / "models/tiny", workspace / adapter.path, "float32").state_dict()
    assert all(torch.equal(merged[name], expected[name]) for name in expected)


def test_equal_inputs_give_equal_digests_wherever_the_adapter_lies(workspace: Path) -> None:
    adapter = publish_random_adapter(workspace)
    attempt = workspace / "jobs/other-1/attempts/1"
    shutil.copytree(workspace / adapter.path, attempt / "checkpoints/checkpoint-3")
    checkpoints.complete(attempt / "checkpoints/checkpoint-3", 3, 100)

    published = merge_run(workspace, {"adapterPath": adapter.path})
    again = merge_run(workspace, {"adapterPath": adapter.path}, attempt=2)
    from_checkpoint = merge_run(workspace, {"jobDirectory": "jobs/other-1", "checkpoint": "checkpoint-3"})

    assert again.output == published.output == from_checkpoint.output
    assert len(list((workspace / "models/merged").iterdir())) == 1


def test_latest_of_a_job_is_what_it_published_else_its_newest_checkpoint(workspace: Path) -> None:
    first, second = publish_random_adapter(workspace, seed=0), publish_random_adapter(workspace, seed=1)
    attempt = workspace / "jobs/other-1/attempts/1"
    shutil.copytree(workspace / first.path, attempt / "checkpoints/checkpoint-3")
    checkpoints.complete(attempt / "checkpoints/checkpoint-3", 3, 100)
    start = {"jobDirectory": "jobs/other-1"}

    by_checkpoint = merge_run(workspace, start)
    output = {"kind": "adapter", "path": second.path, "digest": second.digest}
    (attempt / "result.json").write_text(json.dumps({"exitCode": 0, "output": output}))
    by_result = merge_run(workspace, start)

    assert by_checkpoint.output == merge_run(workspace, {"adapterPath": first.path}).output
    assert by_result.output == merge_run(workspace, {"adapterPath": second.path}).output


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (None, "spec.startFrom: merge needs"),
        ({"adapterPath": "adapters/none"}, "spec.startFrom.adapter: 'adapters/none' holds no adapter_config.json"),
        ({"jobDirectory": "jobs/none"}, "'jobs/none' has no published adapter and no complete checkpoint"),
        ({"jobDirectory": "jobs/none", "checkpoint": "checkpoint-7"}, "'jobs/none' has no adapter in 'checkpoint-7'"),
        ({"jobDirectory": "../outside"}, "spec.startFrom.trainingJob: '../outside' is not a path inside"),
    ],
)
def test_start_without_an_adapter_is_named(workspace: Path, start: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerFailure, match=re.escape(message)) as refusal:
        merge_run(workspace, start)
    assert refusal.value.exit_code == 64


def test_adapter_of_another_base_model_is_a_warning(workspace: Path) -> None:
    from fettle_trainer.methods import merge

    adapter = publish_random_adapter(workspace)
    shutil.copytree(workspace / "models/tiny", workspace / "models/other")
    changes = {"method": "merge", "start": {"adapterPath": adapter.path}, "baseModel": {"path": "models/other"}}
    run = in_process_run(workspace, **changes)

    merge.run(run)
    assert run.progress.warnings == ["the adapter was trained on 'models/tiny' and is merged into 'models/other'"]


def test_method_merge_as_a_process(workspace: Path) -> None:
    adapter = publish_random_adapter(workspace)
    config = run_config(method="merge", dataset=None, start={"adapterPath": adapter.path}, output={"name": "merged"})
    files = write_run(workspace, config)

    assert finish_run(files) == 0, files.log()
    output = files.result()["output"]
    assert output["kind"] == "model"
    assert (workspace / output["path"] / "model.safetensors").is_file()
    assert [event["stage"] for event in files.events() if event["kind"] == "stage"][:2] == ["loading_model", "saving"]
