"""Other ways to ask the same: fixed rules, so that the same prompt always gets the same paraphrases. Pure.

The rules change how a prompt is written and never what it asks. They keep its end, where plain prompts have the mark
after which the answer begins (`### Response:`).
"""

from collections.abc import Callable

from fettle_trainer.benchmark.questions import Message, Prompt

_POLITE = "Please help me with this: "
_SENTENCE_ENDS = ".!?。！？"


def change_case(text: str) -> str:
    """The first letter in the other case; unchanged if it has none."""
    return text[:1].swapcase() + text[1:] if len(text[:1].swapcase()) == 1 else text


def add_politeness(text: str) -> str:
    """The request in a polite wrapper."""
    return _POLITE + text


def change_punctuation(text: str) -> str:
    """Without the marks that end the last sentence, or with a full stop if it has none.

    Unchanged if the text ends with anything else, a colon for example: that is a mark for the answer to follow.
    """
    body = text.rstrip()
    space = text[len(body) :]
    bare = body.rstrip(_SENTENCE_ENDS)
    if not bare:
        return text
    if bare != body:
        return bare + space
    return f"{body}.{space}" if body[-1].isalnum() else text


RULES: dict[str, Callable[[str], str]] = {
    "case": change_case,
    "politeness": add_politeness,
    "punctuation": change_punctuation,
}
"""In the order in which `paraphrases` applies them."""


def paraphrases(prompt: Prompt) -> list[Prompt]:
    """One paraphrase for each rule; of a conversation, the last message of the user is changed."""
    return [_changed(prompt, rule) for rule in RULES.values()]


def _changed(prompt: Prompt, rule: Callable[[str], str]) -> Prompt:
    if isinstance(prompt, str):
        return rule(prompt)
    messages: list[Message] = [*prompt]
    for index in reversed(range(len(messages))):
        if messages[index]["role"] == "user":
            messages[index] = {**messages[index], "content": rule(messages[index]["content"])}
            break
    return messages
