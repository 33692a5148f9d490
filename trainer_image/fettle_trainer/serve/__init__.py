"""A small engine for one machine: one base model, many adapters, the API that vLLM has."""
