import json
from pathlib import Path

import pytest

from fettle_api.estimates import Estimate, KnownFacts
from fettle_api.workspace import Workspace


async def estimate(root: Path, name: str, kind: str = "lora") -> Estimate:
    facts = KnownFacts(Workspace(root), {"small": "models/small"})
    return await facts.estimate(name, {"adapter": {"type": kind}}, None)


def write_tensors(path: Path, header: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(header).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content)


async def test_parameters_are_counted_in_the_models_files(tmp_path: Path) -> None:
    tensor = {"dtype": "BF16", "shape": [1000, 500], "data_offsets": [0, 1]}
    write_tensors(tmp_path / "models/small/model-1.safetensors", {"__metadata__": {"format": "pt"}, "a": tensor})
    write_tensors(tmp_path / "models/small/model-2.safetensors", {"b": {**tensor, "shape": [7]}, "c": tensor})
    found = await estimate(tmp_path, "small")
    assert found.parameter_count == 1_000_007
    assert found.memory_bytes_per_node == 2_000_014
    assert (found.examples_per_second, found.seconds) == (None, None)
    quantized = await estimate(tmp_path, "small", "qlora")
    assert quantized.memory_bytes_per_node is not None
    assert quantized.memory_bytes_per_node < found.memory_bytes_per_node


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7_000_000_000),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135_000_000),
        ("Qwen/Qwen2.5-0.5B", 500_000_000),
        ("llama-2-7b-chat", 7_000_000_000),
        ("microsoft/phi-2", None),
        ("a/b", None),
        ("7b/model", None),
        ("not a model", None),
    ],
)
async def test_else_the_name_tells_them_or_nothing_does(tmp_path: Path, name: str, count: int | None) -> None:
    found = await estimate(tmp_path, name)
    assert found.parameter_count == count
    assert (found.memory_bytes_per_node is None) == (count is None)
    assert found.notes


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 100,
        (4).to_bytes(8, "little") + b"[1]x",
        (2).to_bytes(8, "little") + b"[]",
        (24).to_bytes(8, "little") + b'{"a": {"shape": ["x"]}} ',
    ],
)
async def test_a_broken_file_counts_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "models/small").mkdir(parents=True)
    (tmp_path / "models/small/model.safetensors").write_bytes(content)
    assert (await estimate(tmp_path, "small")).parameter_count is None
