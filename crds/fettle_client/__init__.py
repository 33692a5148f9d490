"""`ResourceClient`: how every part reads and writes manifests, and its implementation for Kubernetes."""
