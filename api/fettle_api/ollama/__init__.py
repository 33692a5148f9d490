"""A job's model into Ollama."""
