"""The trainer's own tiny model, as tests use it, and workspaces that hold it.

`python -m tests.support.tiny_model DIRECTORY` makes one; the same arguments give the same weights.
"""

import os
import shutil
import sys
from pathlib import Path

from fettle_trainer.tiny_model import build_tiny_model as build_tiny_model
from fettle_trainer.tiny_model import message_rows as message_rows
from fettle_trainer.tiny_model import write_rows as write_rows


def spoil_weights(model: Path) -> None:
    """A base model whose last norm holds a NaN, as a bad merge or a bad quantization leaves it."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, model / "model.safetensors", {"format": "pt"})


def make_workspace(directory: Path, tiny_model: Path) -> Path:
    """A workspace that holds `models/tiny` and `datasets/train.jsonl`."""
    shutil.copytree(tiny_model, directory / "models" / "tiny")
    write_rows(directory / "datasets" / "train.jsonl", message_rows(24))
    return directory


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(build_tiny_model(Path(sys.argv[1])))
