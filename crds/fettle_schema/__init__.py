"""The contract of Fettle: resources, rules, defaults, names and the files that runs read and write.

Needs pydantic and yaml only. It must not do I/O beyond reading a manifest's text, and must not know Kopf,
the Kubernetes client, FastAPI or torch.
"""
