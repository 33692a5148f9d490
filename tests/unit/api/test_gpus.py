from pathlib import Path

import pytest

from fettle_api.dialects.merlina.translate_machine import available_of, gpu_of, gpus_of, recommended_of
from fettle_api.gpus import GpuView, LocalGpus, UnknownGpus, parse_gpus

MIB = 1024 * 1024
LINE = "0, NVIDIA GeForce RTX 4090, 24564, 23120, 1444, 5, 42, 45.20, 8.9"


def test_a_line_of_the_tool_is_a_gpu() -> None:
    assert parse_gpus(f"{LINE}\n") == [
        GpuView(0, "NVIDIA GeForce RTX 4090", 24564 * MIB, 23120 * MIB, 1444 * MIB, 5.0, 42.0, 45.2, "8.9")
    ]


@pytest.mark.parametrize("word", ["[N/A]", "[Not Supported]", "[Unknown Error]"])
def test_a_missing_sensor_is_none(word: str) -> None:
    (gpu,) = parse_gpus(f"1, A, 10, 6, 4, {word}, {word}, {word}, {word}")
    assert (gpu.utilization_percent, gpu.temperature_celsius, gpu.power_watts) == (None, None, None)
    assert gpu.compute_capability is None


@pytest.mark.parametrize(
    "text", ["", "No devices were found", "x, A, 1, 1, 1, 1, 1, 1, 1", "0, A, [N/A], 1, 1, 1, 1, 1, 1"]
)
def test_what_is_no_gpu_is_left_out(text: str) -> None:
    assert parse_gpus(text) == []


def test_gpus_are_in_order() -> None:
    assert [gpu.index for gpu in parse_gpus(f"{LINE.replace('0,', '1,', 1)}\n{LINE}\n")] == [0, 1]


async def test_without_a_driver_there_are_none() -> None:
    gpus = LocalGpus(find_tool=lambda: None)
    assert (await gpus.all(), gpus.are_local) == ([], True)


async def test_the_tool_is_asked_once_for_many(tmp_path: Path) -> None:
    calls, tool, now = tmp_path / "calls", tmp_path / "tool", 0.0
    tool.write_text(f"#!/bin/sh\necho x >> {calls}\necho '{LINE}'\n")
    tool.chmod(0o755)
    gpus = LocalGpus(find_tool=lambda: str(tool), monotonic=lambda: now)
    for _ in range(3):
        found = await gpus.all()
        assert found is not None
        assert [gpu.name for gpu in found] == ["NVIDIA GeForce RTX 4090"]
    assert calls.read_text() == "x\n"
    now = 5.0
    await gpus.all()
    assert calls.read_text() == "x\nx\n"


async def test_a_tool_that_fails_finds_none(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    assert await LocalGpus(find_tool=lambda: str(tool)).all() == []


async def test_of_other_machines_nobody_can_say() -> None:
    assert (await UnknownGpus().all(), UnknownGpus().are_local) == (None, False)


def test_merlina_tells_both_spellings() -> None:
    (gpu,) = parse_gpus(LINE)
    assert gpu_of(gpu) == {
        "index": 0,
        "name": "NVIDIA GeForce RTX 4090",
        "memory_total_mb": 24564,
        "memory_free_mb": 23120,
        "memory_used_mb": 1444,
        "utilization_percent": 5,
        "temperature_c": 42,
        "power_usage_w": 45.2,
        "compute_capability": "8.9",
        "total_memory_mb": 24564,
        "free_memory_mb": 23120,
        "used_memory_mb": 1444,
        "gpu_utilization_percent": 5,
        "memory_utilization_percent": 5.9,
    }


def test_merlina_recommends_the_gpu_with_the_most_free_memory() -> None:
    gpus = parse_gpus(
        "0, A, 100, 50, 50, 0, 0, 0, 8.0\n1, B, 100, 90, 10, 0, 0, 0, 8.0\n2, C, 100, 90, 10, 0, 0, 0, 8.0"
    )
    assert recommended_of(gpus)["recommended_index"] == 1
    assert available_of(gpus, 60) == {
        "status": "success",
        "available_gpus": [1, 2],
        "count": 2,
        "min_free_memory_mb": 60,
    }
    assert gpus_of(gpus)["count"] == 3
