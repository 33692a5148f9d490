"""Merlina's API: the order of its checks. One job trains from the start, and is watched from all sides.

What the jobs are is in `merlina_jobs`, the WebSocket in `merlina_live`, all that needs no job in `merlina_machine`,
`merlina_datasets` and `merlina_configs`.
"""

from tests.documents.checks import merlina_configs, merlina_datasets, merlina_jobs, merlina_live, merlina_machine

BASE_URL = "http://localhost:8000"
MODELS = ("meta-llama/Meta-Llama-3-8B-Instruct",)
DATASETS = {"schneewolflabs/Athanor-DPO": "datasets/pairs", "/path/to/dataset.jsonl": "datasets/pairs/train.jsonl"}

CHECKS = (
    merlina_live.begin,
    merlina_jobs.validate,
    merlina_jobs.submit,
    merlina_jobs.queue,
    merlina_jobs.running,
    merlina_jobs.take_back,
    *merlina_machine.CHECKS,
    *merlina_datasets.CHECKS,
    *merlina_configs.CHECKS,
    merlina_live.finish,
    merlina_jobs.finished,
    merlina_jobs.stop,
    merlina_jobs.python,
    merlina_jobs.clear,
)
