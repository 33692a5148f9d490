"""A real single-node Kubernetes for the tests.

`build` makes the one Go binary, `machine` says whether this machine can run it, `processes` owns what is
started, `control_plane` and `node` are the two halves of a cluster, `storage` and `images` serve the node.
`Cluster` puts them together; it is all that a test needs.
"""
