"""Use cases of adapters: list, load, unload, ask, activate."""
