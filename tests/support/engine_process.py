"""The built-in engine as a process, and adapters of the tiny model for it to serve."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai

ADMIN_KEY = "key-of-the-test"


@dataclass(frozen=True)
class EngineProcess:
    """A running engine."""

    url: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def client(self) -> openai.OpenAI:
        """OpenAI's own client; it does not try again, so that a refusal is seen."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=ADMIN_KEY, max_retries=0)

    def admin(self, route: str, body: dict[str, Any], key: str | None = ADMIN_KEY) -> httpx.Response:
        """Call an admin route."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.post(f"{self.url}/v1/{route}", json=body, headers=headers, timeout=60)

    def metric(self, name: str) -> int:
        """A value of /metrics."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return int(next(line for line in lines if line.startswith(f"fettle_engine_{name} ")).split()[1])

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(600)
        finally:
            self.process.kill()


def start_engine(directory: Path, model: Path, *options: str) -> EngineProcess:
    """Start the engine as a user would, and wait until it answers."""
    directory.mkdir(parents=True, exist_ok=True)
    key_file, log = directory / "admin-key", directory / "log.txt"
    key_file.write_text(f"{ADMIN_KEY}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "fettle_trainer.serve", "--model", str(model), "--served-model-name", "tiny"]
    command += ["--precision", "fp32", "--port", str(port), "--admin-key-file", str(key_file), *options]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    engine = EngineProcess(f"http://127.0.0.1:{port}", log, process)
    try:
        wait_until(lambda: process.poll() is not None or is_healthy(engine), log.read_text, within_seconds=180)
        assert process.poll() is None, log.read_text()
    except BaseException:
        process.kill()
        raise
    return engine


def is_healthy(engine: EngineProcess) -> bool:
    """Whether it answers."""
    try:
        return httpx.get(f"{engine.url}/health").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], bool], what: Callable[[], str], within_seconds: float = 60) -> None:
    """Poll; fails with `what()` when the condition does not come true in time."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds} s: {what()}")
        time.sleep(0.05)


def build_tiny_adapters(directory: Path, model: Path) -> Path:
    """Adapters of the tiny model, made by PEFT: `red`, `blue` (other rank, layers and scaling), and `red-2`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    kinds: dict[str, dict[str, Any]] = {
        "red": {"r": 4, "lora_alpha": 32, "target_modules": "all-linear"},
        "blue": {"r": 8, "lora_alpha": 64, "target_modules": ["q_proj", "down_proj"], "use_rslora": True},
        "red-2": {"r": 2, "lora_alpha": 32, "target_modules": ["v_proj"], "alpha_pattern": {"1.self_attn.v_proj": 64}},
    }
    for seed, (name, options) in enumerate(kinds.items()):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        adapted = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **options))
        for parameter_name, parameter in adapted.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.2)
        adapted.save_pretrained(directory / name)
    return directory


def changed_adapter(source: Path, target: Path, **settings: Any) -> Path:
    """A copy of an adapter with other settings."""
    shutil.copytree(source, target)
    config = json.loads((target / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps(config | settings))
    return target
