"""How processes that handle manifests by the thousand set Python's garbage collector. Called once, at the start."""

import gc

_THRESHOLDS = (50_000, 20, 20)


def collect_rarely() -> None:
    """What was imported never becomes garbage, and lists of thousands of manifests hold no cycles: by Python's defaults
    looking for cycles is a third of the operator's work and half of the facade's."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
