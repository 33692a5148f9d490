"""Merging a LoRA adapter into its base model, file by file and tensor by tensor: memory holds one tensor and its
factors, never the model. The result has the base model's dtypes and shards, and equals PEFT's `merge_and_unload`.

Reads and writes model directories; where they are published is not decided here.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.adapter_changes import AdapterChanges, adapter_failure
from fettle_trainer.atomic_file import write_json
from fettle_trainer.failures import TrainerFailure, disk_failure, is_disk_full
from fettle_trainer.tensor_files import DamagedTensorFileError, TensorEntry, TensorFile, write_header, write_tensor

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_HEAD = "lm_head.weight"
_EMBEDDING_SUFFIX = "embed_tokens.weight"
_COPIED = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "additional_chat_templates/*.jinja")
_HINT = "Give the base model as safetensors in the dtype it was published in (bf16, fp16 or fp32)."


def merge_adapter(base: Path, adapter: Path, target: Path) -> None:
    """Write the merged model into the empty directory `target`.

    TrainerFailure: 66 if the files do not fit together (it names the tensor), 67 if the disk is full, 71 if a merged
    tensor is not finite. What was written by then stays for the caller to remove.
    """
    _copy_small_files(base, target)
    shards = _shards(base)
    with AdapterChanges(adapter) as changes:
        plan = _Plan(base, shards, changes)
        for shard in shards:
            _write_shard(base / shard, target / shard, plan.entries_of(shard), plan)
    if len(shards) > 1 or not (base / SINGLE_FILE).is_file():
        _write_index(base, target, plan)
    if plan.unties:
        config = json.loads((target / "config.json").read_text(encoding="utf-8"))
        write_json(target / "config.json", {**config, "tie_word_embeddings": False})


class _Plan:
    """Which tensor is written where, decided and checked before the first byte."""

    def __init__(self, base: Path, shards: dict[str, list[str] | None], changes: AdapterChanges) -> None:
        self.changes = changes
        self.entries: dict[str, dict[str, TensorEntry]] = {}
        for shard, names in shards.items():
            with _open(base / shard) as file:
                self.entries[shard] = {name: file.entries[name] for name in _present(file, names)}
        self.every = {name: entry for entries in self.entries.values() for name, entry in entries.items()}
        self.unties = False
        self.added_head: TensorEntry | None = None
        self.embedding = ""
        # Configurations leave out what their architecture has by default; a head without weights is a tied one.
        if _config(base).get("tie_word_embeddings", _HEAD not in self.every):
            self._look_at_tied_weights()
        for name in changes.changes:
            if name == _HEAD and self.unties:
                continue
            if name not in self.every:
                raise adapter_failure(f"it changes {name!r}, which the base model does not have")
            changes.require_fit(self.every[name])

    def entries_of(self, shard: str) -> list[TensorEntry]:
        """What a shard of the result holds, in the order of its bytes."""
        entries = list(self.entries[shard].values())
        if self.added_head is not None and self.embedding in self.entries[shard]:
            entries.append(self.added_head)
        return entries

    def _look_at_tied_weights(self) -> None:
        """Embedding and head are one tensor in memory; a copy of one of them, trained whole, is a tensor of its own."""
        found = next((name for name in self.every if name.endswith(_EMBEDDING_SUFFIX)), None)
        self.embedding = found or ""
        touched = [name for name in (self.embedding, _HEAD) if name in self.changes.changes]
        for name in touched:
            if self.changes.changes[name].factor_a is not None:
                raise adapter_failure(f"it changes {name!r}, which is one tensor with the embedding in this model")
        if self.changes.config.get("ensure_weight_tying"):  # one tensor still, which PEFT has saved under both names
            if _HEAD in touched and _HEAD not in self.every:
                head_change = self.changes.changes.pop(_HEAD)
                self.changes.changes.setdefault(self.embedding, head_change)
            return
        self.unties = any(self.changes.replaces_module(name) for name in touched)
        if self.unties and found is None:
            raise adapter_failure("the base model has no embed_tokens.weight")
        if self.unties:
            head = replace(self.every[self.embedding], name=_HEAD)
            if _HEAD not in self.every:
                self.added_head = head
            if _HEAD in self.changes.changes:
                self.changes.require_fit(head)


def _write_shard(source: Path, target: Path, entries: list[TensorEntry], plan: _Plan) -> None:
    name = "the header"
    try:
        with _open(source) as base, target.open("wb") as file:
            write_header(file, entries, base.metadata)
            for entry in entries:
                name = entry.name
                _write_entry(entry, base, file, plan)
    except DamagedTensorFileError as error:
        raise _base_failure(f"{source.name} is damaged: {error}") from error
    except OSError as error:
        if is_disk_full(error):
            raise disk_failure(error, f"write {name!r} of the merged model into {target.name}") from error
        raise


def _write_entry(entry: TensorEntry, base: TensorFile, file: BinaryIO, plan: _Plan) -> None:
    source = plan.embedding if entry is plan.added_head else entry.name
    if entry.name in plan.changes.changes:
        write_tensor(file, plan.changes.apply(entry.name, base.read(source)))
    else:
        base.copy(source, file)


def _copy_small_files(base: Path, target: Path) -> None:
    """Configuration, tokenizer and templates; the index is written anew."""
    if "quantization_config" in _config(base):
        raise _base_failure("its weights are quantized")
    for pattern in _COPIED:
        for path in sorted(base.glob(pattern)):
            if path.is_file() and not path.name.endswith(".index.json"):
                copy = target / path.relative_to(base)
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, copy)


def _shards(base: Path) -> dict[str, list[str] | None]:
    """Files with the tensors that each is said to hold; None where nothing is said. As transformers looks for them."""
    if (base / SINGLE_FILE).is_file():
        return {SINGLE_FILE: None}
    if not (base / INDEX_FILE).is_file():
        raise _base_failure(f"it has neither {SINGLE_FILE} nor {INDEX_FILE}")
    shards: dict[str, list[str] | None] = {}
    weight_map = _read_json(base / INDEX_FILE).get("weight_map")
    for name, file in weight_map.items() if isinstance(weight_map, dict) else ():
        if not isinstance(file, str) or Path(file).name != file:
            raise _base_failure(f"{INDEX_FILE} names {file!r}, which is no file beside it")
        names = shards.setdefault(file, [])
        assert names is not None
        names.append(name)
    if not shards:
        raise _base_failure(f"{INDEX_FILE} names no tensor")
    return dict(sorted(shards.items()))


def _write_index(base: Path, target: Path, plan: _Plan) -> None:
    index = _read_json(base / INDEX_FILE)
    if plan.added_head is not None:
        index["weight_map"][_HEAD] = index["weight_map"][plan.embedding]
        metadata = index.get("metadata") or {}
        if "total_size" in metadata:
            metadata["total_size"] += plan.added_head.size_bytes
    write_json(target / INDEX_FILE, index)


def _present(file: TensorFile, names: list[str] | None) -> list[str]:
    for name in names or ():
        if name not in file.entries:
            raise _base_failure(f"{name!r} is missing from {file.path.name}")
    return list(file.entries)


def _open(path: Path) -> TensorFile:
    try:
        return TensorFile(path)
    except FileNotFoundError as error:
        raise _base_failure(f"{path.name} is missing") from error
    except DamagedTensorFileError as error:
        raise _base_failure(f"{path.name} is damaged: {error}") from error


def _config(base: Path) -> dict[str, Any]:
    return _read_json(base / "config.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _base_failure(f"{path.name} is missing or cannot be read") from error
    if not isinstance(value, dict):
        raise _base_failure(f"{path.name} holds no JSON object")
    return value


def _base_failure(message: str) -> TrainerFailure:
    return TrainerFailure(ExitCode.MODEL, f"the base model cannot be merged into: {message}", _HINT)
