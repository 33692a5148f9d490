"""What a request of the operator is about. Pure."""

import json
import re
from dataclasses import dataclass

_PATH = re.compile(r"^/apis?/(?:[^/]+/)?v[^/]+(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?P<rest>/.*)?$")
_OF_A_LIFE = frozenset({"trainingjobs", "jobs", "configmaps", "services", "adapters"})


@dataclass(frozen=True)
class Asked:
    """One request, without what differs between two runs of a seed."""

    method: str
    path: str
    """`plural/name/subresource`; "" for what is no resource."""
    job: str
    """The training job that a write is about; "" if none."""

    @property
    def plural(self) -> str:
        """Kind of resource."""
        return self.path.partition("/")[0]

    @property
    def is_write(self) -> bool:
        """Whether the request changes something of a job's life: not a Lease, not an Event."""
        return self.method != "GET" and self.plural in _OF_A_LIFE


def asked(method: str, path: str, body: bytes) -> Asked:
    """What a request is about; the name of what is created is in its body."""
    found = _PATH.match(path)
    if found is None:
        return Asked(method, "", "")
    name = (found["rest"] or "").strip("/")
    if method == "POST" and body:
        name = json.loads(body)["metadata"].get("name") or ""
    job = re.sub(r"-a\d+$", "", name.partition("/")[0])
    plural = found["plural"]
    stable = "" if plural == "events" else name
    return Asked(method, f"{plural}/{stable}".rstrip("/"), job if plural in _OF_A_LIFE else "")
