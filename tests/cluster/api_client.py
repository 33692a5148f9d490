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
NOT_YET = (403, 404, 409, 500, 503)


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

    def close(self) -> None:
        """Closes the connection; the next call opens another."""
        self._connection.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        merge = "application/merge-patch+json"
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": merge if method == "PATCH" else "application/json",
        }
        try:
            self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            # An idle connection may have been closed by the server; who polls comes again.
            self._connection.close()
            return None
        if answer.status in NOT_YET:
            return None
        if answer.status >= 400:
            raise ClusterError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text.startswith(b"{") else text.decode()
