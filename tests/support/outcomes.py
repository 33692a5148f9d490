"""Comparing what two runs have come to."""

import shutil
from pathlib import Path

from tests.support.runs import RunFiles

CLOSE = 1e-4
"""For weights of about 1e-2 after eight steps: two orders smaller, and two larger than the noise of other sums."""


def assert_equal_outcome(files: RunFiles, uninterrupted: RunFiles) -> None:
    """To the bit: losses, artifact and tokens."""
    assert files.losses() == uninterrupted.losses()
    assert files.result()["output"] == uninterrupted.result()["output"]
    assert files.result()["metrics"]["tokens"] == uninterrupted.result()["metrics"]["tokens"]


def adapter_weights(files: RunFiles) -> bytes:
    """The published tensors, as they lie in the file."""
    path: Path = files.workspace / files.result()["output"]["path"] / "adapter_model.safetensors"
    return path.read_bytes()


def largest_difference(files: RunFiles, others: RunFiles) -> float:
    """Between any two numbers of the published adapters."""
    from safetensors.torch import load

    left, right = load(adapter_weights(files)), load(adapter_weights(others))
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def copy_job(source: RunFiles, workspace: Path) -> None:
    """The job's directory with all that its attempts have left."""
    shutil.copytree(source.directory, workspace / "jobs" / source.directory.name)
