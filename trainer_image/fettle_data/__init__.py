"""Rows → examples: opens a dataset, checks every row and gives examples in TRL's shapes. Shared by trainer and facade.

Needs the standard library and `fettle_schema`; `datasets` is imported only when a hub id is opened. It must not
import torch or transformers, and it applies no chat template: the trainer does, with the model's tokenizer.
"""
