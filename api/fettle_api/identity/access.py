"""Which right of Kubernetes a request needs. Pure: decides on the route's template, never on what a caller put into it.

Rights are on resources of the group `fettle.dev` in the facade's namespace, so that an administrator grants them by
Roles. `trainingjobs` and `adapters` are real; the others, and all subresources, are virtual: they exist for these
Roles alone.

| resource | what |
|---|---|
| `trainingjobs`, `/log`, `/output`, `/metrics`, `/checkpoints`, `/<action>` | jobs, and what they leave behind |
| `adapters`, `/chat`, `/<action>` | adapters and models |
| `datasets`, `/preview` | datasets and uploaded files |
| `templates`, `configurations`, `trajectories`, `gpus` | what their names say |

The verb is that of the HTTP method, as for the API server: GET is `list`, or `get` for one thing; POST is `create`,
also of an action on a thing (`create trainingjobs/cancel`, as eviction is for pods); DELETE is `delete`, or
`deletecollection`; a WebSocket is `watch`. A route that no word here names needs the verb `*` on the resource `*`.
"""

from dataclasses import dataclass

GROUP = "fettle.dev"


@dataclass(frozen=True)
class Access:
    """What somebody wants to do."""

    verb: str
    resource: str
    subresource: str = ""

    def __str__(self) -> str:
        """For messages: `create trainingjobs/cancel`."""
        return f"{self.verb} {self.resource}{'/' if self.subresource else ''}{self.subresource}"


EVERYTHING = Access("*", "*")

_OPEN = frozenset({"health", "version", "docs", "redoc", "openapi.json"})
_RESOURCES = {
    "trajectories": "trajectories",
    "datasets": "datasets",
    "dataset": "datasets",
    "files": "datasets",
    "data": "datasets",
    "templates": "templates",
    "configs": "configurations",
    "adapters": "adapters",
    "models": "adapters",
    "model": "adapters",
    "chat": "adapters",
    "gpu": "gpus",
    "jobs": "trainingjobs",
    "train": "trainingjobs",
    "queue": "trainingjobs",
    "stats": "trainingjobs",
    "status": "trainingjobs",
    "validate": "trainingjobs",
    "estimate": "trainingjobs",
    "ws": "trainingjobs",
    "training": "trainingjobs",
}
"""Word of a path → resource. Of several the first here counts: the special ones before `jobs` and `training`."""
_SUBRESOURCES = {
    "logs": "log",
    "log": "log",
    "events": "log",
    "output": "output",
    "artifacts": "output",
    "download": "output",
    "metrics": "metrics",
    "checkpoints": "checkpoints",
    "preview": "preview",
    "preview-formatted": "preview",
    "columns": "preview",
    "inspect": "preview",
    "cancel": "cancel",
    "stop": "cancel",
    "pause": "pause",
    "resume": "resume",
    "retry": "retry",
    "merge": "merge",
    "estimate": "estimate",
    "validate": "estimate",
    "chat": "chat",
    "load": "load",
    "unload": "unload",
    "activate": "activate",
    "import-ollama": "import",
    "benchmark": "benchmark",
    "preload": "tokenizer",
}
_READS = ("GET", "HEAD", "OPTIONS")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def access_of(method: str, template: str) -> Access | None:
    """What a route of a dialect needs; None for what everybody may see whom the facade knows.

    `template` is the route's path with its parameters in braces, `method` that of HTTP or `WEBSOCKET`.
    """
    segments = [segment for segment in template.split("/") if segment not in ("", "api", "v1")]
    words = [segment for segment in segments if not segment.startswith("{")]
    if method in _READS and (not segments or _OPEN & {*words[-1:]}):
        return None
    resource = next((resource for word, resource in _RESOURCES.items() if word in words), None)
    if resource is None:
        return EVERYTHING
    subresource = next((_SUBRESOURCES[word] for word in words if word in _SUBRESOURCES), "")
    is_one = len(words) < len(segments)
    return Access(_verb(method, is_one, bool(subresource)), resource, subresource)


def _verb(method: str, is_one: bool, has_subresource: bool) -> str:
    if method == "WEBSOCKET":
        return "watch"
    if method in _READS:
        return "get" if is_one or has_subresource else "list"
    if method == "DELETE":
        return "delete" if is_one else "deletecollection"
    return _VERBS.get(method, "*")
