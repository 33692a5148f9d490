"""How much of the workspace a run will fill: checkpoints and what it publishes. Pure."""

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.job_estimate import JobEstimate
from fettle_schema.run import RunConfig

_STATE_BYTES = 8
"""AdamW's two moments in fp32; other optimizers need less."""
_PUBLISHED_BYTES = 2
"""Full models are published in the dtype of their base: two bytes for nearly all."""


def needed_bytes(config: RunConfig, estimate: JobEstimate) -> int:
    """Bytes at the moment when most lies there: one checkpoint more than are kept, the best one, and the result."""
    trained, parameters = estimate.trained_parameters, estimate.shape.parameters
    is_full = config.adapter.type is AdapterType.NONE
    checkpoint = trained * (4 + _STATE_BYTES)
    published = parameters * _PUBLISHED_BYTES if is_full else trained * 4
    has_best = config.dataset is not None and config.dataset.evaluation is not None
    checkpoints = (config.checkpoint.keep_last + 1 + has_best) * checkpoint
    merged = parameters * _PUBLISHED_BYTES if config.output.merge and not is_full else 0
    return checkpoints + published + merged
