"""A small hub: speaks what huggingface_hub says when it creates a repository, uploads and commits, and can fail.

Contents are kept by repository; uploads by LFS need a signed address, as on the real hub.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SIGNATURE = "signed-address-secret"
_DATE = "2026-01-01T00:00:00.000Z"
_LFS_BYTES = 1024


@dataclass
class StoredRepository:
    """What a repository holds."""

    is_private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Failure:
    """An answer instead of the real one, for requests whose path matches."""

    path: str
    status: int
    times: int = 1_000_000
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "no"


class HubStandIn:
    """The state behind the server."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.endpoint = ""
        self.repositories: dict[str, StoredRepository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.failures: list[Failure] = []
        self._lock = threading.Lock()

    def fail(self, path: str, status: int, **options: Any) -> None:
        """Answer `status` to requests whose `METHOD /path` contains the pattern `path`."""
        self.failures.append(Failure(path, status, **options))

    def failure_for(self, line: str) -> Failure | None:
        with self._lock:
            self.requests.append(line)
            for failure in self.failures:
                if failure.times > 0 and re.search(failure.path, line):
                    failure.times -= 1
                    return failure
        return None

    def count(self, pattern: str) -> int:
        """How many requests matched."""
        return sum(re.search(pattern, line) is not None for line in self.requests)

    def create(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = f"{body['organization']}/{body['name']}"
        answer = {"url": f"{self.endpoint}/{name}", "name": name}
        if name in self.repositories:
            return 409, {**answer, "error": "You already created this model repo"}
        repository = StoredRepository(is_private=body.get("visibility") == "private")
        self.repositories[name] = repository
        self._add_commit(repository, "initial commit")
        return 200, answer

    def info(self, name: str) -> tuple[int, Any]:
        repository = self.repositories[name]
        siblings = [{"rfilename": path} for path in repository.files]
        sha = repository.commits[0]["id"]
        return 200, {"id": name, "modelId": name, "sha": sha, "siblings": siblings, "private": repository.is_private}

    def preupload(self, body: dict[str, Any]) -> tuple[int, Any]:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] > _LFS_BYTES else "regular",
                "shouldIgnore": False,
            }
            for file in body["files"]
        ]
        return 200, {"files": files}

    def lfs_batch(self, body: dict[str, Any]) -> tuple[int, Any]:
        objects: list[dict[str, Any]] = []
        for wanted in body["objects"]:
            href = f"{self.endpoint}/upload/{wanted['oid']}?X-Signature={SIGNATURE}"
            actions = {} if wanted["oid"] in self.objects else {"actions": {"upload": {"href": href}}}
            objects.append({"oid": wanted["oid"], "size": wanted["size"], **actions})
        return 200, {"transfer": "basic", "objects": objects}

    def commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        repository = self.repositories[name]
        values = {key: [line["value"] for line in lines if line["key"] == key] for key in ("header", "file", "lfsFile")}
        for file in values["file"]:
            repository.files[file["path"]] = base64.b64decode(file["content"])
        for file in values["lfsFile"]:
            repository.files[file["path"]] = self.objects[file["oid"]]
        oid = self._add_commit(repository, values["header"][0]["summary"])
        return 200, {"success": True, "commitOid": oid, "commitUrl": f"{self.endpoint}/{name}/commit/{oid}"}

    def _add_commit(self, repository: StoredRepository, title: str) -> str:
        oid = hashlib.sha1(f"{len(repository.commits)} {title}".encode()).hexdigest()
        commit = {"id": oid, "authors": [{"user": "someone"}], "date": _DATE, "title": title, "message": ""}
        repository.commits.insert(0, commit)
        return oid


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubStandIn

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        failure = self.hub.failure_for(f"{method} {self.path}")
        if failure is not None:
            self._send(failure.status, {"error": failure.message}, failure.headers)
        elif method != "PUT" and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._send(401, {"error": "Invalid username or password."})
        else:
            self._send(*self._route(method, body))

    def _route(self, method: str, body: bytes) -> tuple[int, Any]:
        path, _, query = self.path.partition("?")
        if method == "PUT" and (match := re.fullmatch(r"/upload/([0-9a-f]{64})", path)):
            if query != f"X-Signature={SIGNATURE}" or hashlib.sha256(body).hexdigest() != match.group(1):
                return 403, {"error": "signature"}
            self.hub.objects[match.group(1)] = body
            return 200, {}
        if path == "/api/validate-yaml":
            return 200, {}
        if path == "/api/repos/create":
            return self.hub.create(json.loads(body))
        if match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self.hub.lfs_batch(json.loads(body))
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(commits|preupload|commit)/main)?", path)
        if match is None or match.group(1) not in self.hub.repositories:
            return 404, {"error": "Repository not found"}
        name, action = match.groups()
        if action == "commits":
            return 200, self.hub.repositories[name].commits
        if action == "preupload":
            return self.hub.preupload(json.loads(body))
        if action == "commit":
            return self.hub.commit(name, [json.loads(line) for line in body.splitlines()])
        return self.hub.info(name)

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve_hub(token: str) -> Iterator[HubStandIn]:
    """A hub on a port of its own, gone at the end."""
    hub = HubStandIn(token)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
