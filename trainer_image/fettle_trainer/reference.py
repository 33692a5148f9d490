"""What TRL's reference-based trainers (dpo, kto) are given, and what of it they shall leave alone."""

from typing import Any

_REFERENCE = "ref"


def as_they_are(trainer: type) -> type:
    """A trainer whose examples are encoded already."""

    def _prepare_dataset(self: Any, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    return type(trainer.__name__, (trainer,), {"_prepare_dataset": _prepare_dataset})


def settle_reference(model: Any, *, is_fresh: bool) -> None:
    """TRL puts a copy of the adapter beside it as reference.

    A fresh adapter changes nothing yet: the base without it is the same reference, for no memory. Where an adapter is
    continued, the copy must answer as it did, without dropout.
    """
    import torch

    if _REFERENCE not in getattr(model, "peft_config", {}):
        return
    if is_fresh:
        model.delete_adapter(_REFERENCE)
        return
    for module in model.modules():
        dropouts = getattr(module, "lora_dropout", None)
        if isinstance(dropouts, torch.nn.ModuleDict) and _REFERENCE in dropouts:
            dropouts[_REFERENCE] = torch.nn.Identity()
