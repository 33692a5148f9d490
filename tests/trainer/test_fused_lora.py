"""The fused LoRA layer gives PEFT's numbers, forward and backward, and leaves to PEFT what it is not made for."""

from pathlib import Path
from typing import Any

import pytest


def adapted(tiny_model: Path, dtype: Any = None, **parameters: Any) -> Any:
    """The tiny model with an adapter that changes something."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=dtype or torch.float32)
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **parameters)
    model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def numbers(model: Any, **autocast: Any) -> tuple[Any, dict[str, Any]]:
    """Logits, and gradients of everything that is trained."""
    import torch

    torch.manual_seed(7)
    model.zero_grad()
    with torch.autocast("cpu", **autocast) if autocast else torch.enable_grad():
        logits = model(torch.arange(3, 40)[None]).logits
        logits.float().square().mean().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("parameters", [{}, {"lora_dropout": 0.3}, {"use_rslora": True}], ids=str)
def test_numbers_are_those_of_peft(tiny_model: Path, parameters: dict[str, Any]) -> None:
    import torch

    from fettle_trainer.fused_lora import install

    model = adapted(tiny_model, **parameters)
    logits, gradients = numbers(model)
    assert install(model) == 14
    fused_logits, fused_gradients = numbers(model)

    torch.testing.assert_close(fused_logits, logits, rtol=1e-5, atol=1e-6)
    assert fused_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(fused_gradients[name], gradient, rtol=1e-4, atol=1e-8)


def test_mixed_precision_computes_in_the_low_one_and_keeps_gradients_in_the_high_one(tiny_model: Path) -> None:
    import torch

    from fettle_trainer.fused_lora import install

    model = adapted(tiny_model, torch.bfloat16)
    logits, gradients = numbers(model, dtype=torch.bfloat16)
    install(model)
    fused_logits, fused_gradients = numbers(model, dtype=torch.bfloat16)

    assert fused_logits.dtype == logits.dtype
    torch.testing.assert_close(fused_logits, logits, rtol=0.1, atol=0.1)
    for name, gradient in gradients.items():
        assert fused_gradients[name].dtype == gradient.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(fused_gradients[name].ravel(), gradient.ravel(), dim=0) > 0.98


def test_without_the_adapter_it_is_the_base(tiny_model: Path) -> None:
    import torch

    from fettle_trainer.fused_lora import install

    model = adapted(tiny_model)
    install(model)
    with model.disable_adapter():
        without = model(torch.arange(3, 40)[None]).logits
    with torch.no_grad():
        assert not torch.equal(model(torch.arange(3, 40)[None]).logits, without)
    assert torch.equal(model.unload()(torch.arange(3, 40)[None]).logits, without)


def test_what_it_is_not_made_for_stays_with_peft(tiny_model: Path) -> None:
    from fettle_trainer.fused_lora import install

    assert install(adapted(tiny_model, use_dora=True)) == 0
    assert install(adapted(tiny_model, bias="all")) == 14
    model = adapted(tiny_model)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    assert install(model) == 0
