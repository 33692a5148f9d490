"""Jobs of a facade in process that have succeeded, with what they published lying in the workspace."""

import json
from typing import Any

from fettle_client.protocol import TRAINING_JOBS
from tests.support.facade import Facade

DIGEST = "sha256:" + "0123456789ab" * 5 + "0123"
OUTPUT_OF_ADAPTER = {"kind": "adapter", "path": "adapters/demo/0123456789ab", "digest": DIGEST}


async def finished_job(
    facade: Facade, name: str, kind: str = "adapter", spec: dict[str, Any] | None = None, **changes: Any
) -> str:
    """Make it; returns where it published. `changes` are those of its status."""
    given = {"baseModel": {"path": "models/base"}, "dataset": {"source": {"workspace": {"path": "datasets/d"}}}}
    manifest = {
        "apiVersion": TRAINING_JOBS.api_version,
        "kind": TRAINING_JOBS.kind,
        "metadata": {"name": name, "namespace": facade.namespace},
        "spec": {**given, **(spec or {})},
    }
    await facade.client.create(TRAINING_JOBS, manifest)
    path = f"{'adapters' if kind == 'adapter' else 'models'}/{name}/0123456789ab"
    output = {"kind": kind, "path": path, "digest": DIGEST}
    status = {"phase": "Succeeded", "completionTime": "2026-01-01T12:00:00Z", "output": output, **changes}
    await facade.set_status(name, **({"adapter": name} if kind == "adapter" else {}), **status)
    return path


def write_adapter(facade: Facade, path: str, **config: Any) -> None:
    """The two files of an adapter."""
    write(facade, f"{path}/adapter_config.json", {"peft_type": "LORA", "r": 8, "lora_alpha": 16.0, **config})
    (facade.root / path / "adapter_model.safetensors").write_bytes(b"weights of " + path.encode())


def write_model(facade: Facade, path: str, architecture: str = "LlamaForCausalLM", template: str | None = None) -> None:
    """Files of a model directory, and some that do not belong to it."""
    model_type = architecture.removesuffix("ForCausalLM").lower()
    write(facade, f"{path}/config.json", {"architectures": [architecture], "model_type": model_type})
    write(facade, f"{path}/tokenizer.json", {})
    write(facade, f"{path}/tokenizer_config.json", {"chat_template": template} if template else {})
    write(facade, f"{path}/fettle.json", {})
    (facade.root / path / "model.safetensors").write_bytes(b"weights of " + path.encode())
    (facade.root / path / "README.md").write_text("# model")


def write(facade: Facade, path: str, content: Any) -> None:
    """A JSON file of the workspace."""
    target = facade.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content))
