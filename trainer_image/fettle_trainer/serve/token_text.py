"""Tokens → text, piece by piece. Pure but for the decoder that is given."""

from collections.abc import Callable, Sequence

_CONTEXT_TOKENS = 5
"""Tokens before a new one that are decoded with it: a tokenizer may join or strip what stands at a start."""
_UNFINISHED = "\ufffd"


class TokenText:
    """The text of new tokens after `prompt`; a character of several tokens appears when it is whole."""

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._tokens = list(prompt[-_CONTEXT_TOKENS:])
        self._start = 0
        self._read = len(self._tokens)

    def feed(self, tokens: Sequence[int]) -> str:
        """Text that became whole with `tokens`; joined, all texts are that of all tokens."""
        self._tokens += tokens
        text = self._pending()
        if not text or text.endswith(_UNFINISHED):
            return ""
        self._start, self._read = max(self._read - _CONTEXT_TOKENS, self._start), len(self._tokens)
        return text

    def flush(self) -> str:
        """What is left at the end, a broken character included."""
        text = self._pending()
        self._start = self._read = len(self._tokens)
        return text

    def _pending(self) -> str:
        before = self._decode(self._tokens[self._start : self._read])
        return self._decode(self._tokens[self._start :])[len(before) :]
