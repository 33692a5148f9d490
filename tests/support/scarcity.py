"""The environment of a run that has too little of something."""

from pathlib import Path


def scarce_memory(rows: int, **changes: str) -> dict[str, str]:
    """The environment of a run whose memory is too small for more rows."""
    directory = Path(__file__).parent / "scarce_memory"
    return {"PYTHONPATH": str(directory), "SCARCE_MEMORY_ROWS": str(rows), **changes}
