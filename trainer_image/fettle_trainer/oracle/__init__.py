"""A training step without memory: the real model, PEFT, TRL's head and the optimizer under fake tensors.

What `fettle_schema.estimate` says in closed form is measured here; a new version of a library shows up as a difference.
Nothing of a run imports this package.
"""
