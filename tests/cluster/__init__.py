"""A real single-node Kubernetes for the tests: `Cluster` is all that a test needs.

`build` makes the Go programs and `machine` says whether this machine can run them. `processes`, `slots` and
`namespaces` own what the machine lends; `credentials`, `control_plane`, `node`, `containerd` and `storage` are
the parts of a cluster, `images` fills it, `cluster` puts them together. `probe` and `traces` serve tests.
"""

from tests.cluster.cluster import Cluster
from tests.cluster.credentials import CONTEXT
from tests.cluster.processes import ClusterError

__all__ = ["CONTEXT", "Cluster", "ClusterError"]
