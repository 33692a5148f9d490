"""Rows → examples → text: opens a dataset, checks every row and gives examples in TRL's shapes.

Trainer and facade use it. It needs the standard library and `fettle_schema`; `datasets`, `pyarrow` and `jinja2` are
imported only when a hub id, a Parquet or Arrow file, or a chat template is used. It must not import torch or
transformers: chat templates are rendered by whatever the caller gives, a tokenizer in the trainer, `chat_template` in
a preview.
"""
