"""OpenAI's fine-tuning API: files, fine-tuning jobs, models and chat, below `/v1` of the main port."""
