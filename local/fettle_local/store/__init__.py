"""Resources of one machine: a ResourceClient over SQLite that behaves as an API server would. It decides nothing."""

from fettle_local.store.client import LocalClient

__all__ = ["LocalClient"]
