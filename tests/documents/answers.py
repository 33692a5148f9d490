"""What curl got, from what it printed. Pure. `CURLRC` makes it say after each answer which status and URL that was."""

import json
import re
from dataclasses import dataclass
from typing import Any

CURLRC = r"""silent
show-error
write-out = "\n<<answer %{http_code} %{method} %{url_effective}>>\n"
"""
_ANSWER = re.compile(r"(?P<text>.*?)\n<<answer (?P<status>\d{3}) (?P<method>[A-Z]+) (?P<url>\S+)>>\n", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """One answer over HTTP."""

    method: str
    url: str
    status: int
    text: str

    @property
    def json(self) -> Any:
        """Raises ValueError for what is no JSON."""
        return json.loads(self.text)


def answers_of(output: str) -> list[Answer]:
    """One for each call, in order."""
    return [
        Answer(match["method"], match["url"], int(match["status"]), match["text"]) for match in _ANSWER.finditer(output)
    ]
