"""What Merlina answers about GPUs, datasets, configurations and models. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from fettle_api.datasets.uploads import UploadView
from fettle_api.datasets.views import DatasetPreview, FormattedRows
from fettle_api.dialects.merlina.translate_jobs import clock_time
from fettle_api.files.base_models import TokenizerView
from fettle_api.files.configurations import Configuration
from fettle_api.gpus import GpuView

NO_CUDA = "CUDA is not available"
MAX_ROWS = 10
MAX_FORMATTED_ROWS = 5
MAX_SAMPLES = 3
_MIB = 1024 * 1024
_TEMPLATE_PREVIEW = 200
_END_OF_TURN = re.compile(r"(<\|[^<>|\s]+\|>|</s>)\n+")


def gpu_of(gpu: GpuView) -> dict[str, Any]:
    """A GPU, in the document's spelling and in that of its own client."""
    total, free, used = (
        size // _MIB for size in (gpu.memory_total_bytes, gpu.memory_free_bytes, gpu.memory_used_bytes)
    )
    utilization = None if gpu.utilization_percent is None else round(gpu.utilization_percent)
    return {
        "index": gpu.index,
        "name": gpu.name,
        "memory_total_mb": total,
        "memory_free_mb": free,
        "memory_used_mb": used,
        "utilization_percent": utilization,
        "temperature_c": None if gpu.temperature_celsius is None else round(gpu.temperature_celsius),
        "power_usage_w": gpu.power_watts,
        "compute_capability": gpu.compute_capability,
        "total_memory_mb": total,
        "free_memory_mb": free,
        "used_memory_mb": used,
        "gpu_utilization_percent": utilization,
        "memory_utilization_percent": round(100 * gpu.memory_used_bytes / gpu.memory_total_bytes, 1)
        if gpu.memory_total_bytes
        else 0.0,
    }


def gpus_of(gpus: list[GpuView]) -> dict[str, Any]:
    """`GET /gpu/list`."""
    if not gpus:
        return {"status": "no_cuda", "message": f"{NO_CUDA} on this system", "gpus": []}
    return {"status": "success", "gpus": [gpu_of(gpu) for gpu in gpus], "count": len(gpus)}


def available_of(gpus: list[GpuView], least_mb: int) -> dict[str, Any]:
    """`GET /gpu/available`."""
    free = [gpu.index for gpu in gpus if gpu.memory_free_bytes >= least_mb * _MIB]
    found = {"available_gpus": free, "count": len(free), "min_free_memory_mb": least_mb}
    return {"status": "success", **found} if gpus else {"status": "no_cuda", "message": NO_CUDA, **found}


def recommended_of(gpus: list[GpuView]) -> dict[str, Any]:
    """`GET /gpu/recommended`, where there is a GPU: the one with the most free memory."""
    best = max(gpus, key=lambda gpu: (gpu.memory_free_bytes, -gpu.index))
    return {"status": "success", "recommended_index": best.index, "gpu": gpu_of(best)}


def preview_of(preview: DatasetPreview, mapping: Mapping[str, str]) -> dict[str, Any]:
    """`POST /dataset/preview`."""
    rows = [{mapping.get(name) or name: value for name, value in row.items()} for row in preview.rows]
    return {"status": "success", "samples": rows, "num_samples": len(rows)}


def formatted_of(formatted: FormattedRows) -> dict[str, Any]:
    """`POST /dataset/preview-formatted`: the line feed that a template writes after a turn is not shown."""
    samples = [_sample(row.texts) for row in formatted.rows]
    return {"status": "success", "samples": samples, "num_samples": len(samples)}


def _sample(texts: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    prompt, chosen = texts.get("chosen") or texts.get("text") or ("", "")
    _, rejected = texts.get("rejected") or ("", "")
    return {"prompt": prompt, "chosen": _without_line_feed(chosen), "rejected": _without_line_feed(rejected)}


def _without_line_feed(text: str) -> str:
    match = _END_OF_TURN.search(text, max(0, len(text) - 64))
    return text.rstrip("\n") if match and match.end() == len(text) else text


def columns_of(preview: DatasetPreview, total: int | None) -> dict[str, Any]:
    """`POST /dataset/columns`."""
    return {
        "status": "success",
        "columns": list(preview.columns),
        "samples": list(preview.rows),
        "total_rows": total,
    }


def upload_of(upload: UploadView) -> dict[str, Any]:
    """An uploaded file."""
    name = upload.record.get("file_name")
    return {
        "dataset_id": upload.id,
        "filename": name if isinstance(name, str) else upload.file.name,
        "size": upload.file.size_bytes,
    }


def entry_of(configuration: Configuration) -> dict[str, Any]:
    """A saved configuration without its content."""
    return {
        "name": configuration.name,
        "description": configuration.description,
        "tags": list(configuration.tags),
        "created_at": clock_time(configuration.created_at),
        "updated_at": clock_time(configuration.modified_at),
        "filename": configuration.file_name,
        "modified_at": clock_time(configuration.modified_at),
    }


def configuration_of(configuration: Configuration, with_metadata: bool) -> dict[str, Any]:
    """`GET /configs/{name}`."""
    content = dict(configuration.content)
    wrapped = {**entry_of(configuration), "config": content}
    return {"status": "success", "config": wrapped if with_metadata else content}


def tokenizer_of(name: str, tokenizer: TokenizerView) -> dict[str, Any]:
    """`POST /model/preload`."""
    template, tokens = tokenizer.chat_template, tokenizer.special_tokens
    shortened = template if template is None or len(template) <= _TEMPLATE_PREVIEW else f"{template[:200]}..."
    return {
        "status": "success",
        "model_name": name,
        "vocab_size": tokenizer.vocabulary_size,
        "model_max_length": tokenizer.max_length,
        "has_chat_template": template is not None,
        "chat_template_preview": shortened,
        "pad_token": tokens.get("pad_token") or tokens.get("eos_token"),
        "eos_token": tokens.get("eos_token"),
        "bos_token": tokens.get("bos_token"),
    }
