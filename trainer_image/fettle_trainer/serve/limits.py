"""How much one engine takes on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineLimits:
    """Set once, when the engine starts."""

    max_length: int
    """Tokens of a prompt and its answer."""
    cache_tokens: int
    """Tokens, padding included, whose keys and values fit into the memory set aside; at least `max_length`."""
    max_batch: int = 32
    max_waiting: int = 256
    max_lora_rank: int = 64
    max_adapters: int = 32

    def fits(self, rows: int, width: int) -> bool:
        """Whether so many rows of that width may be kept."""
        return rows * width <= self.cache_tokens
