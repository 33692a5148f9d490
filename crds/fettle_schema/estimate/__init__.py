"""Estimates of memory, time and cost, computed from a model's configuration and never from its name. Pure.

`job_estimate.estimate_job` judges a whole job; `shape.ModelShape.from_config`, `memory.estimate_memory`, `duration` and
`advice` are its parts.
"""
