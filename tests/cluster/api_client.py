"""Calls of the cluster's own API server as its administrator, for what the driver itself needs.

Tests use kubectl or a real client library instead.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.cluster.processes import ClusterError

# 404: no such object. 409: it is there already. 403, 500, 503: the built-in roles are not in place yet.
# 429, 504: a busy server fills its caches.
NOT_YET = (403, 404, 409, 429, 500, 503, 504)


class ApiClient:
    """One connection, kept open from call to call. Not for several threads."""

    def __init__(self, kubeconfig: Path, authority: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        context = ssl.create_default_context(cafile=str(authority))
        self._connection = http.client.HTTPSConnection(server.netloc, context=context, timeout=10)
        self._token = config["users"][0]["user"]["token"]

    def get(self, path: str) -> Any:
        """The answer; None if there is no such object, or no answer yet."""
        return self._call("GET", path)

    def items(self, path: str) -> list[dict[str, Any]]:
        """The objects of a list; none if there is no answer."""
        answer = self.get(path)
        return answer["items"] if answer else []

    def create(self, path: str, manifest: dict[str, Any]) -> Any:
        """The new object; None if it is there already."""
        return self._call("POST", path, manifest)

    def patch(self, path: str, merge: dict[str, Any]) -> Any:
        """The object after a merge patch; None if there is none."""
        return self._call("PATCH", path, merge)

    def delete(self, path: str) -> None:
        """Deletes an object, or finds it gone."""
        self._call("DELETE", path)

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        merge = "application/merge-patch+json"
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": merge if method == "PATCH" else "application/json",
        }
        payload = json.dumps(body) if body is not None else None
        # Twice, because the server closes idle connections.
        answered = self._send(method, path, payload, headers) or self._send(method, path, payload, headers)
        if not answered or answered[0] in NOT_YET:
            return None
        code, text = answered
        if code >= 400:
            raise ClusterError(f"{method} {path}: {code} {text}")
        return json.loads(text) if text.startswith("{") else text

    def _send(self, method: str, path: str, payload: str | None, headers: dict[str, str]) -> tuple[int, str] | None:
        try:
            self._connection.request(method, path, payload, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None
