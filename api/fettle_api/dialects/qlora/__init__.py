"""LocalAIServer's QLoRA and adapter API: `wire` its types, `translate` pure conversion, `routes` HTTP."""
