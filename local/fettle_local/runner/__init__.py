"""What a Job controller and a kubelet do on a cluster: Job manifests become pods, and pods become processes."""
