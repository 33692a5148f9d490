"""Text of tokens that come one by one."""

from collections.abc import Sequence

from fettle_trainer.serve.token_text import TokenText


def decode_bytes(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode("utf-8", errors="replace")


def decode_words(tokens: Sequence[int]) -> str:
    """As SentencePiece does: the space before the first word is lost."""
    return "".join(f" word{token}" for token in tokens).lstrip()


def test_a_character_appears_when_all_its_bytes_are_there() -> None:
    text = TokenText(decode_bytes, list(b"say: "))
    pieces = [text.feed([byte]) for byte in "a€ü🙂!".encode()]
    assert [piece for piece in pieces if piece] == ["a", "€", "ü", "🙂", "!"]
    assert text.flush() == ""


def test_a_broken_character_at_the_end_is_shown_at_last() -> None:
    text = TokenText(decode_bytes, [])
    assert [text.feed([byte]) for byte in "a€".encode()[:3]] == ["a", "", ""]
    assert text.flush() == "\ufffd"


def test_pieces_joined_are_the_text_of_all_tokens() -> None:
    text = TokenText(decode_words, [1, 2, 3])
    assert "".join(text.feed([token]) for token in range(4, 30)) == "".join(f" word{token}" for token in range(4, 30))


def test_many_tokens_at_once_give_the_same_text() -> None:
    text = TokenText(decode_words, [1])
    assert text.feed([2, 3]) + text.feed([4]) == " word2 word3 word4"
