"""What a chat template is. No template is named here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """Jinja text, and what the tokenizer must know for it to serve."""

    text: str
    """To be rendered as transformers does: with `messages`, `tools`, `add_generation_prompt` and special tokens."""
    special_tokens: tuple[str, ...]
    """Tokens that the text writes out; each should be one id of the tokenizer."""
    end_of_turn: str | None
    """The token after which the assistant has spoken; None for the tokenizer's own end token."""
