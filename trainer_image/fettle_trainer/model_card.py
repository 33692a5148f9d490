"""The card (README.md) of a repository on the hub: what was pushed, what it was made from, and how to load it. Pure.

Built from the artifact's provenance, so that it tells what is true of the files and not of the job that pushes them.
"""

import json
from typing import Any, Literal

Kind = Literal["adapter", "model"]


def model_card(kind: Kind, repository: str, base_model_id: str | None, digest: str, provenance: dict[str, Any]) -> str:
    """Markdown with the metadata that the hub reads. `base_model_id` is None for a model that is not from the hub."""
    base: dict[str, Any] = provenance.get("baseModel") or {}
    name = base_model_id or str(base.get("name", "unknown"))
    method = provenance.get("method")
    lines = [
        *_metadata(kind, base_model_id, method),
        "",
        f"# {repository.rpartition('/')[2]}",
        "",
        f"A {_what(kind, provenance)} of `{name}`, made with Fettle.",
        "",
        *_facts(name, base.get("revision"), digest, provenance),
        "",
        "## Use",
        "",
        "```python",
        *_example(kind, repository, name),
        "```",
    ]
    settings = provenance.get("hyperparameters")
    if settings:
        lines += ["", "## Hyperparameters", "", "```json", json.dumps(settings, indent=2), "```"]
    return "\n".join(lines) + "\n"


def _metadata(kind: Kind, base_model_id: str | None, method: object) -> list[str]:
    tags = ["fettle", *(["lora"] if kind == "adapter" else []), *([str(method)] if method else [])]
    lines = [f"library_name: {'peft' if kind == 'adapter' else 'transformers'}", "pipeline_tag: text-generation"]
    if base_model_id is not None:
        lines += [f"base_model: {base_model_id}"]
        lines += [f"base_model_relation: {'adapter' if kind == 'adapter' else 'finetune'}"]
    return ["---", *lines, "tags:", *(f"- {tag}" for tag in tags), "---"]


def _what(kind: Kind, provenance: dict[str, Any]) -> str:
    if kind == "adapter":
        return "LoRA adapter"
    return "merge of a LoRA adapter into the weights" if "mergedAdapter" in provenance else "fine-tuned version"


def _facts(name: str, revision: object, digest: str, provenance: dict[str, Any]) -> list[str]:
    adapter: dict[str, Any] = provenance.get("adapter") or provenance.get("mergedAdapter") or {}
    rows = {
        "Base model": f"`{name}`" + (f" at `{revision}`" if revision else ""),
        "Method": provenance.get("method"),
        "Rank, alpha": f"{adapter['rank']}, {adapter['alpha']:g}" if {"rank", "alpha"} <= adapter.keys() else None,
        "Dataset digest": f"`{provenance['datasetDigest']}`" if provenance.get("datasetDigest") else None,
        "Digest of these files": f"`{digest}` (without this card)",
    }
    return ["| | |", "|---|---|", *(f"| {title} | {value} |" for title, value in rows.items() if value)]


def _example(kind: Kind, repository: str, name: str) -> list[str]:
    if kind == "model":
        return [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            f'model = AutoModelForCausalLM.from_pretrained("{repository}", dtype="auto")',
            f'tokenizer = AutoTokenizer.from_pretrained("{repository}")',
        ]
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'base = AutoModelForCausalLM.from_pretrained("{name}", dtype="auto")',
        f'model = PeftModel.from_pretrained(base, "{repository}")',
        f'tokenizer = AutoTokenizer.from_pretrained("{name}")',
    ]
