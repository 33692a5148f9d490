"""One step after the optimizer's first, of a model of which only the configuration is known: bytes at each point."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fettle_schema.adapter_parameters import AdapterParameters, AdapterType
from fettle_schema.estimate.held_memory import adapter_bytes
from fettle_schema.estimate.memory_settings import REFERENCE_METHODS, MemorySettings
from fettle_trainer.devices import torch_dtype
from fettle_trainer.oracle.allocation import AllocationTracker
from fettle_trainer.oracle.stand_ins import replaced, stand_ins
from fettle_trainer.preparation import add_adapter

_COUNTED = ("weights", "held", "forward", "peak_forward", "peak_backward", "peak_step", "trainable")


@dataclass(frozen=True)
class DryRun:
    """Bytes of one process, without what a CUDA context takes."""

    weights: int
    """The model, its adapter, and the reference."""
    held: int
    """The same with the optimizer's state: what lies between two steps."""
    forward: int
    """Alive after the forward pass: `held` and what the backward pass needs."""
    peak_forward: int
    peak_backward: int
    peak_step: int
    """While the optimizer works."""
    trainable: int
    """Parameters that are trained: a count."""

    @property
    def peak(self) -> int:
        """Most that was ever alive."""
        return max(self.peak_forward, self.peak_backward, self.peak_step)


def dry_run(config: Mapping[str, Any], settings: MemorySettings, layers: int | None = None) -> DryRun:
    """Run a step with `layers` layers, or with all that `config` (a config.json) has."""
    changed = {**config, "num_hidden_layers": layers or config["num_hidden_layers"]}
    tracker = AllocationTracker()
    with FakeTensorMode(allow_non_fake_inputs=True), stand_ins(settings):
        model, reference = _build(changed, settings)
        for tensor in _tensors_of(model, reference):
            tracker.track(tensor)
        with tracker:
            return _measure(tracker, model, reference, settings)


def extrapolated(config: Mapping[str, Any], settings: MemorySettings) -> DryRun:
    """The same in a fraction of the time: layers are alike, so that three counts give all.

    With few layers the largest tensors of head and embedding hide what layers take, so that peaks are extrapolated
    from depths where they grow evenly.
    """
    depth = int(config["num_hidden_layers"])
    few, more = (4, 6) if depth > 6 else (max(1, depth - 1), depth)
    first, second = dry_run(config, settings, few), dry_run(config, settings, more)
    found = {}
    for name in _COUNTED:
        low, high = getattr(first, name), getattr(second, name)
        found[name] = low + (high - low) * (depth - few) // (more - few)
    return replace(first, **found)


def _build(config: dict[str, Any], settings: MemorySettings) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForCausalLM

    parsed = AutoConfig.for_model(**config)
    attention = "sdpa" if settings.attention in ("auto", "flash_attention_2") else settings.attention
    is_full = settings.adapter is AdapterType.NONE
    dtype = torch_dtype(settings.trained_precision if is_full else settings.precision)
    model = AutoModelForCausalLM.from_config(parsed, dtype=dtype, attn_implementation=attention)
    reference = None
    if settings.has_reference_copy:
        reference = AutoModelForCausalLM.from_config(
            parsed, dtype=torch_dtype(settings.precision), attn_implementation=attention
        ).requires_grad_(False)
    if settings.quantization_bits is not None:
        from fettle_trainer.oracle.quantized_layers import quantize

        quantize(model, settings.quantization_bits, double_quantization=settings.double_quantization, compute=dtype)
    if not is_full:
        model = _adapted(model, settings)
    _prepare(model, reference, settings)
    return model, reference


def _adapted(model: Any, settings: MemorySettings) -> Any:
    parameters = AdapterParameters(
        type=settings.adapter,
        rank=settings.rank,
        alpha=2.0 * settings.rank,
        dropout=settings.dropout,
        target_modules=list(settings.target_modules),
        modules_to_save=list(settings.modules_to_save) or None,
        use_dora=settings.use_dora,
    )
    # PEFT moves a layer's adapter to the device of its weights; that swaps parameters, which fake ones refuse.
    with replaced(torch.nn.Module, "to", lambda self, *args, **kwargs: self):
        model = add_adapter(model, parameters)
    if adapter_bytes(settings) == 2:  # TRL keeps adapters of quantized models in bf16
        for module in model.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None and parameter.requires_grad:
                    module._parameters[name] = torch.nn.Parameter(parameter.detach().to(torch.bfloat16))
    return model


def _prepare(model: Any, reference: Any, settings: MemorySettings) -> None:
    from trl.trainer.utils import add_fused_lm_head

    is_adapted = settings.adapter is not AdapterType.NONE
    if settings.fused_head:
        outputs = ("log_probs", "entropy", "is_top1")
        add_fused_lm_head(model.get_base_model() if is_adapted else model, outputs=outputs)
        if reference is not None:
            add_fused_lm_head(reference, outputs=outputs)
    if settings.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if is_adapted:
            model.enable_input_require_grads()
    model.config.use_cache = False
    model.train()
    if settings.device == "cpu" and is_adapted:
        from fettle_trainer import fused_lora

        fused_lora.install(model)


def _measure(tracker: AllocationTracker, model: Any, reference: Any, settings: MemorySettings) -> DryRun:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = tracker.current
    optimizer = _optimizer(trained, settings)
    found: dict[str, int] = {}
    for _ in range(2):  # the optimizer's state appears at its first step
        held = tracker.current
        tracker.restart_peak()
        loss = _loss(model, reference, settings)
        found = {"held": held, "forward": tracker.current, "peak_forward": tracker.restart_peak()}
        loss.backward()
        del loss  # as the Trainer does: what the graph holds goes before the optimizer works
        found["peak_backward"] = tracker.restart_peak()
        torch.nn.utils.clip_grad_norm_(trained, 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        found["peak_step"] = tracker.restart_peak()
    return DryRun(weights=weights, trainable=sum(parameter.numel() for parameter in trained), **found)


def _optimizer(trained: list[Any], settings: MemorySettings) -> Any:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=1e-4, foreach=True)
    foreach = settings.device == "gpu" and settings.optimizer == "adamw_torch"  # torch's own choice on CUDA
    return torch.optim.AdamW(trained, lr=1e-4, foreach=foreach)


def _loss(model: Any, reference: Any, settings: MemorySettings) -> Any:
    rows, length = settings.rows, settings.length
    ids = torch.zeros(rows, length, dtype=torch.long)
    inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if settings.has_mask:
        inputs["attention_mask"] = torch.ones_like(ids)
    if not settings.fused_head:
        outputs = _call(model, settings, **inputs)
        return _materialized_loss(outputs.logits, ids, settings)
    outputs = _call(model, settings, labels=ids, fused_lm_head=True, **inputs)
    loss = outputs.loss
    if settings.method in REFERENCE_METHODS:
        other = reference if reference is not None else model
        without = contextlib.nullcontext() if reference is not None else model.disable_adapter()
        with torch.no_grad(), without, _without_checkpointing(model):
            _call(other, settings, labels=ids, fused_lm_head=True, **inputs)
    return loss


@contextlib.contextmanager
def _without_checkpointing(model: Any) -> Iterator[None]:
    from trl.models.utils import disable_gradient_checkpointing

    with disable_gradient_checkpointing(model, {"use_reentrant": False}):
        yield


def _call(model: Any, settings: MemorySettings, **inputs: Any) -> Any:
    """As accelerate calls it: under autocast, and what comes out is fp32."""
    if not settings.uses_autocast:
        return model(**inputs)
    from accelerate.utils import convert_outputs_to_fp32  # type: ignore[import-untyped]

    with torch.autocast("cpu", torch_dtype(settings.precision)):
        outputs = model(**inputs)
    return convert_outputs_to_fp32(lambda: outputs)()


def _materialized_loss(logits: Any, ids: Any, settings: MemorySettings) -> Any:
    """The losses of TRL's ORPOTrainer and CPOTrainer, or cross-entropy as the model's own forward computes it."""
    from transformers.loss.loss_utils import ForCausalLMLoss
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    if settings.rows == settings.batch_size:
        return ForCausalLMLoss(logits, ids, vocab_size=logits.shape[-1])
    chosen = settings.batch_size
    part = logits[:chosen, :-1, :].contiguous()
    nll = torch.nn.functional.cross_entropy(part.view(-1, part.shape[-1]), ids[:chosen, 1:].reshape(-1))
    del part
    scores = ORPOTrainer.get_batch_logps(logits, ids, average_log_prob=True)
    return nll - (scores[:chosen] - scores[chosen:]).mean()


def _tensors_of(*models: Any) -> Iterator[Any]:
    for model in models:
        if model is None:
            continue
        yield from model.parameters()
        yield from model.buffers()
        for module in model.modules():
            state = getattr(module, "quant_state", None)
            if state is not None:
                yield from (
                    found for found in (state.absmax, getattr(state.state2, "absmax", None)) if found is not None
                )
