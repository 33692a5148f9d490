import pytest

from fettle_local.runner.gpus import GpuPool


def pool(*gpus: str) -> GpuPool:
    return GpuPool(lambda: list(gpus))


def test_each_gpu_goes_to_one_pod() -> None:
    gpus = pool("GPU-a", "GPU-b")
    assert gpus.take("one", 1) == ["GPU-a"]
    assert gpus.take("two", 1) == ["GPU-b"]
    assert gpus.take("three", 1) is None
    gpus.release("one")
    assert gpus.take("three", 1) == ["GPU-a"]


def test_a_pod_that_wants_none_gets_none() -> None:
    assert pool().take("one", 0, "0") == []


@pytest.mark.parametrize(
    ("wanted", "named", "taken"),
    [
        (1, "1", ["GPU-b"]),
        (2, "2, 0", ["GPU-a", "GPU-c"]),
        (1, "GPU-c", ["GPU-c"]),
        (1, "", ["GPU-a"]),
        (1, "1,2", ["GPU-a"]),
        (1, "7", None),
    ],
)
def test_a_pod_gets_the_gpus_that_it_names(wanted: int, named: str, taken: list[str] | None) -> None:
    assert pool("GPU-a", "GPU-b", "GPU-c").take("one", wanted, named) == taken


def test_a_pod_waits_for_the_gpu_that_it_names() -> None:
    gpus = pool("GPU-a", "GPU-b")
    gpus.take("one", 1, "1")
    assert gpus.take("two", 1, "1") is None
    gpus.release("one")
    assert gpus.take("two", 1, "1") == ["GPU-b"]
