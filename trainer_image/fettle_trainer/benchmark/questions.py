"""Examples → questions: what is asked, and the answers that the dataset knows. Pure, and the same on every machine."""

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from fettle_trainer.benchmark.draws import uniform

DEFAULT_PROMPTS = 64
_LONGEST_BEGINNING = 256
Message = dict[str, Any]
Prompt = str | list[Message]


@dataclass(frozen=True)
class Question:
    """A prompt, with its reference or its pair of answers, where there are any."""

    prompt: Prompt
    reference: Prompt | None = None
    """What a good answer is; in a conversation, one message."""
    rejected: Prompt | None = None
    """The worse answer of a pair, of which `reference` is the better one."""
    tools: Any = None

    @property
    def key(self) -> str:
        """What the draws of its answers are named after."""
        return sha256(_canonical(self.prompt).encode()).hexdigest()

    @property
    def reference_text(self) -> str | None:
        """The reference without its role."""
        if self.reference is None or isinstance(self.reference, str):
            return self.reference
        return str(self.reference[-1]["content"])


def choose_questions(examples: Sequence[dict[str, Any]], limit: int, seed: int) -> list[Question]:
    """The questions of at most `limit` examples, in the dataset's order; which ones depends on seed and number only.

    Only the chosen ones are read. Examples in which nothing is asked, such as a conversation that the assistant
    begins, are left out.
    """
    chosen = heapq.nsmallest(limit, range(len(examples)), key=lambda index: uniform(seed, "benchmark", index))
    found = [question_of(examples[index]) for index in sorted(chosen)]
    return [question for question in found if question is not None]


def question_of(example: dict[str, Any]) -> Question | None:
    """The question of an example in TRL's shape; of plain text, its beginning is to be continued, without reference."""
    tools = example.get("tools")
    if "text" in example:
        return Question(_beginning(example["text"]))
    if "chosen" in example:
        prompt = example.get("prompt")
        return Question(prompt, example["chosen"], example["rejected"], tools) if prompt else None
    if isinstance(example.get("prompt"), str):
        return Question(example["prompt"], example["completion"])
    messages = example["messages"] if "messages" in example else [*example["prompt"], *example["completion"]]
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    return Question(messages[:last], [messages[last]], tools=tools) if last else None


def prompts_digest(questions: Sequence[Question]) -> str:
    """`sha256:<hex>` over the prompts, one line of JSON for each."""
    lines = "".join(f"{_canonical(question.prompt)}\n" for question in questions)
    return f"sha256:{sha256(lines.encode()).hexdigest()}"


def _beginning(text: str) -> str:
    """The first quarter, one character at least, up to the end of a word if there is one."""
    head = text[: min(max(len(text) // 4, 1), _LONGEST_BEGINNING)]
    return head.rpartition(" ")[0].strip() or head


def _canonical(prompt: Prompt) -> str:
    return json.dumps(prompt, sort_keys=True, ensure_ascii=False)
