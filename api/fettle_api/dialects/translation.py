"""What every dialect does to put neutral values into its words. Pure."""

import math
from collections.abc import Mapping
from typing import Any


def finite(value: float | None) -> float | None:
    """A number that JSON has."""
    return value if value is not None and math.isfinite(value) else None


def plain(value: Any) -> Any:
    """A whole number without a point, as documents write it; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def field_of_request(path: str, names: Mapping[str, str]) -> str:
    """What a request calls a field of a TrainingJob, by the longest path in `names` that leads to it; else the path."""
    candidates = [known for known in names if path == known or path.startswith(f"{known}.")]
    return names[max(candidates, key=len)] if candidates else path
