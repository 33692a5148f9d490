"""Two answers that both begin with their prompt → the prompt and what is left of each."""

from fettle_data.findings import FindingCode
from fettle_data.formats.conversation import Message
from fettle_data.formats.format import InvalidRowError

_FIRST_WITHOUT_SPACES = "\u2e80"
"""From here on Unicode has scripts that put no spaces between words."""


def split_turns(chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """The messages that both conversations begin with are the prompt."""
    pairs = zip(chosen, rejected, strict=False)
    length = next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(chosen), len(rejected)))
    _require_parts(length, len(chosen), len(rejected))
    return chosen[:length], chosen[length:], rejected[length:]


def split_texts(chosen: str, rejected: str) -> tuple[str, str, str]:
    """What both texts begin with is the prompt, up to the word in which they part; a space belongs to the answers."""
    pairs = zip(chosen, rejected, strict=False)
    length = next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(chosen), len(rejected)))
    while length and any(_parts_a_word(text, length) for text in (chosen, rejected)):
        length -= 1
    if length and chosen[length - 1] == " ":
        length -= 1
    _require_parts(length, len(chosen.rstrip()), len(rejected.rstrip()))
    return chosen[:length], chosen[length:], rejected[length:]


def _parts_a_word(text: str, position: int) -> bool:
    return position < len(text) and _is_in_word(text[position - 1]) and _is_in_word(text[position])


def _is_in_word(character: str) -> bool:
    return character.isalnum() and character < _FIRST_WITHOUT_SPACES


def _require_parts(prompt_length: int, chosen_length: int, rejected_length: int) -> None:
    if prompt_length == 0:
        message = "there is no 'prompt', and 'chosen' and 'rejected' do not begin with the same one"
        raise InvalidRowError(FindingCode.MISSING_COLUMN, "prompt", message)
    for column, length in (("chosen", chosen_length), ("rejected", rejected_length)):
        if length <= prompt_length:
            message = f"nothing is left of {column!r} after what it has in common with the other answer"
            raise InvalidRowError(FindingCode.EMPTY_CONTENT, column, message)
