"""OpenAI's own client, and the facade that it speaks to."""

from dataclasses import dataclass

import openai

from tests.support.facade import Facade


@dataclass
class OpenAIWorld:
    """A facade that listens, and a client of it that does not try again, so that a refusal is seen."""

    facade: Facade
    caller: openai.AsyncOpenAI
    url: str
