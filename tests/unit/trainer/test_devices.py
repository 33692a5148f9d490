"""What the CPU can do decides the precision."""

from pathlib import Path

import pytest

from fettle_trainer.devices import cpu_has_bf16


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor : 0\nflags : fpu avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags : fpu avx avx2 avx512f\n", False),
        ("processor : 0\n", False),
    ],
)
def test_bf16_is_read_from_the_cpu_flags(tmp_path: Path, cpuinfo: str, expected: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(cpuinfo)

    assert cpu_has_bf16(path) is expected


def test_machine_without_cpuinfo_has_none(tmp_path: Path) -> None:
    assert not cpu_has_bf16(tmp_path / "cpuinfo")
