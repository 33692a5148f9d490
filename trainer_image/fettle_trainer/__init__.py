"""The trainer: reads run.json, fine-tunes, writes files and an exit code. It must not know Kubernetes.

`python -m fettle_trainer RUN_JSON` is the supervisor (standard library only); `fettle_trainer.run` is the process that
it watches, and the only one that imports torch.
"""
