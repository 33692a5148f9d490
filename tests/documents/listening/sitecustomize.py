"""Notes each answer that a sample in Python gets, as `POST /train 422`, one a line, in the file that is named.

The sample stays as it is; Python imports this by itself.
"""

import http.client
import os
from typing import Any

_putrequest, _getresponse = http.client.HTTPConnection.putrequest, http.client.HTTPConnection.getresponse


def _noting_request(self: Any, method: str, url: str, *arguments: Any, **options: Any) -> None:
    self.noted_request = f"{method} {url.partition('?')[0]}"
    _putrequest(self, method, url, *arguments, **options)


def _noting_answer(self: Any) -> http.client.HTTPResponse:
    answer = _getresponse(self)
    with open(os.environ["FETTLE_DOCUMENTS_ANSWERS"], "a") as file:
        print(self.noted_request, answer.status, file=file)
    return answer


http.client.HTTPConnection.putrequest = _noting_request  # type: ignore[method-assign]
http.client.HTTPConnection.getresponse = _noting_answer  # type: ignore[method-assign]
