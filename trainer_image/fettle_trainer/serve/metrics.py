"""What /metrics says, in Prometheus' text format. Pure."""

from fettle_trainer.serve.engine import Engine

_METRICS = (
    ("fettle_engine_requests_running", "gauge", "Answers that are being made."),
    ("fettle_engine_requests_waiting", "gauge", "Answers that wait for a place in the batch."),
    ("fettle_engine_adapters_loaded", "gauge", "Adapters that are served."),
    ("fettle_engine_prompt_tokens_total", "counter", "Tokens of prompts that were computed."),
    ("fettle_engine_generation_tokens_total", "counter", "Tokens of answers."),
)


def metrics_text(engine: Engine) -> str:
    """All metrics of an engine."""
    values = (
        engine.running_count,
        engine.waiting_count,
        len(engine.adapters.all()),
        engine.prompt_token_count,
        engine.generated_token_count,
    )
    lines: list[str] = []
    for (name, kind, text), value in zip(_METRICS, values, strict=True):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
    return "\n".join(lines) + "\n"
