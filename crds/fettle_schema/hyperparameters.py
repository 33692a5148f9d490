"""`spec.hyperparameters` of a TrainingJob. Defaults that depend on method and adapter are in `defaults`."""

from typing import Annotated, Literal

from pydantic import Field

from fettle_schema.base import Model

GPU_OPTIMIZERS = frozenset({"adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"})
"""Those of bitsandbytes, which keep their state as the GPU's kernels do: they do not run on a CPU."""


class Hyperparameters(Model):
    """What depends on method and adapter has no default here; `status.resolved.hyperparameters` shows what was used."""

    epochs: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Passes over the dataset. 3 if neither `epochs` nor `maxSteps` is set."""
    max_steps: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Optimizer steps; wins over `epochs`. For benchmark: how many prompts are asked, 64 if absent."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 4
    """Examples in one micro-batch of one process."""
    eval_batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """The same for evaluation; `batchSize` if absent."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=4096)] = 1
    """Micro-batches in one step."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Peak learning rate. Depends on method and adapter if absent."""
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Multiplies the learning rate that would be used by default; not together with `learningRate`."""
    optimizer: (
        Literal[
            "adamw_torch",
            "adamw_torch_fused",
            "adamw_8bit",
            "paged_adamw_8bit",
            "paged_adamw_32bit",
            "adafactor",
            "sgd",
        ]
        | None
    ) = None
    """Optimizer, as `transformers` names it. If absent `adamw_torch_fused` on GPUs, `adamw_torch` on CPUs."""
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"] = (
        "cosine"
    )
    """Learning-rate schedule."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of all steps that warm up. 0.03 if neither this nor `warmupSteps` is set."""
    warmup_steps: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """Steps that warm up; not together with `warmupRatio`."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Gradients are clipped to this norm; 0 clips nothing."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the first moment."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the second moment."""
    adam_epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Added to the denominator."""
    max_length: Annotated[int, Field(ge=8, le=1_048_576)] | None = None
    """Longest example in tokens; longer ones are truncated. 1024 if absent."""
    max_prompt_length: Annotated[int, Field(ge=1, le=1_048_576)] | None = None
    """Longest prompt in tokens; preference methods only."""
    beta: Annotated[float, Field(gt=0, le=100)] | None = None
    """Strength of the preference loss; preference methods only."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] | None = None
    """Assumed share of wrong preferences; dpo and cpo only."""
    desirable_weight: Annotated[float, Field(gt=0, le=100)] | None = None
    """Weight of desirable examples; kto only."""
    undesirable_weight: Annotated[float, Field(gt=0, le=100)] | None = None
    """Weight of undesirable examples; kto only."""
    cpo_alpha: Annotated[float, Field(ge=0, le=100)] | None = None
    """Weight of the behaviour-cloning term; cpo and simpo only."""
    simpo_gamma: Annotated[float, Field(ge=0, le=100)] | None = None
    """Target margin; simpo only."""
    packing: bool | None = None
    """Put several examples into one sequence; sft only."""
    assistant_only_loss: bool | None = None
    """Loss on assistant messages only; sft only. On where the data allows, if absent."""
    gradient_checkpointing: bool | None = None
    """Recompute activations to save memory. On when a GPU is used, if absent."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """`auto` is bf16 where the hardware has it."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention implementation."""
    logging_steps: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Steps between two reports."""
    evaluation_steps: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    """Steps between two evaluations, or a share of all steps if below 1. Each epoch if absent."""
    neftune_noise_alpha: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Noise on the embeddings; sft only."""
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] = 42
    """Seed of everything random."""
