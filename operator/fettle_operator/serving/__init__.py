"""Adapters in engines: what each engine pod has, what it should have, and the calls between."""
