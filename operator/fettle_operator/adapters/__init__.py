"""Adapters: their files examined, their status kept true. Loading them is `fettle_operator.serving`."""
