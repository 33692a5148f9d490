"""What is HTTP and nothing else: bodies, documents, downloads, guards, sockets."""
