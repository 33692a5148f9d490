"""The faster head gives TRL's losses and gradients, and leaves alone what it cannot do."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.trainer

COMPARE = """
import sys
sys.modules["bitsandbytes"] = None
import torch, trl.trainer.utils as utils
from transformers import LlamaConfig, LlamaForCausalLM
from fettle_trainer import cpu_head

def measure(dtype, frozen):
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=999, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                         num_attention_heads=4, tie_word_embeddings=False)
    model = LlamaForCausalLM(config).to(dtype)
    model.lm_head.weight.requires_grad_(not frozen)
    utils.add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    ids = torch.randint(0, 999, (3, 150))
    labels = ids.clone(); labels[:, :70] = -100; labels[2] = -100
    output = model(ids, labels=labels, fused_lm_head=True)
    loss = -output.log_probs.sum() / (labels != -100).sum()
    loss.backward()
    return loss.detach().float(), [p.grad.clone().float() for p in model.parameters() if p.grad is not None]

cases = [(torch.float32, True, 1e-5), (torch.bfloat16, True, 3e-2), (torch.float32, False, 1e-5)]
stock = [measure(dtype, frozen) for dtype, frozen, _ in cases]
warnings = []
cpu_head.install(warnings.append)
cpu_head.install(warnings.append)
assert not warnings, warnings
assert not isinstance(utils._ChunkedLogProbFunction.original, type(utils._ChunkedLogProbFunction))
for (dtype, frozen, tolerance), (loss, gradients) in zip(cases, stock):
    new_loss, new_gradients = measure(dtype, frozen)
    torch.testing.assert_close(new_loss, loss, rtol=tolerance, atol=tolerance)
    assert len(gradients) == len(new_gradients)
    for old, new in zip(gradients, new_gradients):
        scale = old.abs().max().clamp(min=1e-12)
        assert ((new - old).abs().max() / scale) < tolerance * 2, (dtype, frozen, (new - old).abs().max() / scale)
print("same")
"""

UNKNOWN = """
import sys
sys.modules["bitsandbytes"] = None
import trl.trainer.utils as utils
from fettle_trainer import cpu_head
before = utils._ChunkedLogProbFunction
cpu_head.KNOWN_VERSIONS = ("0.0.",)
warnings = []
cpu_head.install(warnings.append)
assert utils._ChunkedLogProbFunction is before and "slower" in warnings[0], warnings
cpu_head.KNOWN_VERSIONS = ("",)
del utils._use_triton
cpu_head.install(warnings.append)
assert utils._ChunkedLogProbFunction is before and len(warnings) == 2
print("left alone")
"""


@pytest.mark.parametrize(("code", "printed"), [(COMPARE, "same"), (UNKNOWN, "left alone")])
def test_in_a_process_of_its_own(code: str, printed: str) -> None:
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert process.stdout.strip() == printed, process.stderr
