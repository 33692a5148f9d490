"""Resources of the namespace, read through a cache, and what dialects see of them."""
