"""Runs what the published documents of the dialects show, as it stands there, against a real `fettle up`.

`python -m tests.documents DIRECTORY`. The documents are not part of this repository: checks name their samples by
heading and label. `samples`, `shapes`, `answers` and `report` are pure; `machine` and `calls` are the edges; `document`
brings both together; `checks/` says for each document what its samples are and what must exist before.
"""
