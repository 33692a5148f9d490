"""The faster head gives TRL's losses and gradients, and leaves alone what it cannot do."""

from pathlib import Path
from typing import Any

import pytest

from fettle_schema.training_job import Method
from fettle_trainer import cpu_head
from tests.support.built_trainer import built, settings_of


@pytest.fixture(autouse=True)
def _trl_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_trls_head(monkeypatch)


def use_trls_head(monkeypatch: pytest.MonkeyPatch) -> None:
    import trl.kernels.chunked_logprob as kernels
    import trl.trainer.utils as utils

    monkeypatch.setattr(utils, "_ChunkedLogProbFunction", cpu_head.original_head())
    monkeypatch.setattr(utils, "_use_triton", kernels._use_triton)


def warnings_of_install() -> list[str]:
    warnings: list[str] = []
    cpu_head.install(warnings.append)
    return warnings


def loss_and_gradients(dtype: Any, *, is_frozen: bool) -> tuple[Any, list[Any]]:
    """Of a small model, in which one of three rows has no label at all."""
    import torch
    import trl.trainer.utils as utils
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=999,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).to(dtype)
    model.lm_head.weight.requires_grad_(not is_frozen)
    utils.add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    ids = torch.randint(0, 999, (3, 150))
    labels = ids.clone()
    labels[:, :70] = labels[2] = -100
    output = model(ids, labels=labels, fused_lm_head=True)
    loss = -output.log_probs.sum() / (labels != -100).sum()
    loss.backward()
    gradients = [parameter.grad.float() for parameter in model.parameters() if parameter.grad is not None]
    return loss.detach().float(), gradients


@pytest.mark.parametrize(
    ("dtype", "is_frozen", "tolerance"), [("float32", True, 1e-5), ("bfloat16", True, 3e-2), ("float32", False, 1e-5)]
)
def test_losses_and_gradients_are_those_of_trl(dtype: str, is_frozen: bool, tolerance: float) -> None:
    import torch

    expected_loss, expected = loss_and_gradients(getattr(torch, dtype), is_frozen=is_frozen)
    assert warnings_of_install() == []
    loss, gradients = loss_and_gradients(getattr(torch, dtype), is_frozen=is_frozen)

    torch.testing.assert_close(loss, expected_loss, rtol=tolerance, atol=tolerance)
    assert len(gradients) == len(expected)
    for found, wanted in zip(gradients, expected, strict=True):
        scale = wanted.abs().max().clamp(min=1e-12)
        assert ((found - wanted).abs().max() / scale) < 2 * tolerance


class NobodyAsks:
    """Stands where TRL's function stands."""

    @staticmethod
    def apply(*args: Any) -> Any:
        raise AssertionError("the slower head was used")


def loss_and_gradients_of(trainer: Any, batch: dict[str, Any]) -> tuple[Any, list[Any]]:
    """The loss of a batch, and the gradient of every trained parameter."""
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    trained = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    return loss.detach(), [parameter.grad.clone() for parameter in trained]


@pytest.mark.parametrize("method", [Method.SFT, Method.DPO, Method.IPO, Method.KTO])
def test_every_method_with_trls_head_is_given_the_faster_one(
    workspace: Path, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import trl.trainer.utils as utils

    settings = {**settings_of(method), "precision": "fp32"}
    with built(workspace, method, adapter={"dropout": 0.0}, hyperparameters=settings) as trainer:
        batch = next(iter(trainer.get_train_dataloader()))
        with monkeypatch.context() as faster:
            faster.setattr(utils._ChunkedLogProbFunction, "original", NobodyAsks)
            loss, gradients = loss_and_gradients_of(trainer, batch)
        use_trls_head(monkeypatch)
        expected_loss, expected = loss_and_gradients_of(trainer, batch)

    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-6)
    assert any(gradient.any() for gradient in gradients)
    for found, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)


def test_installed_twice_it_stands_before_the_function_of_trl() -> None:
    import trl.trainer.utils as utils

    original = utils._ChunkedLogProbFunction
    assert warnings_of_install() == warnings_of_install() == []
    assert utils._ChunkedLogProbFunction.original is original
    assert cpu_head.original_head() is original


def test_a_version_that_nobody_looked_at_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import trl.trainer.utils as utils

    before = utils._ChunkedLogProbFunction
    monkeypatch.setattr(cpu_head, "KNOWN_VERSIONS", ("0.0.",))
    assert "slower" in warnings_of_install()[0]
    assert utils._ChunkedLogProbFunction is before


def test_a_name_that_is_gone_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import trl.trainer.utils as utils

    before = utils._ChunkedLogProbFunction
    monkeypatch.delattr(utils, "_use_triton")
    assert "slower" in warnings_of_install()[0]
    assert utils._ChunkedLogProbFunction is before
