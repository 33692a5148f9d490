"""Templates of AINode's API: the built-in ones, custom ones as they are stored, and what either fills in. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fettle_api.dialects.ainode.wire import ConfigError, TemplateRequest, TrainingConfig, parse_partial

_VARIES = "varies"
_NOT_KEPT = frozenset({"method", "hf_token", "wandb_key", "wandb_api_key", "api_key", "token", "password"})
"""Of a custom template's parameters: the method has a place of its own, and a file is no place for secrets."""


@dataclass(frozen=True)
class Template:
    """A template that a job can name in `template_id`."""

    id: str
    name: str
    description: str
    method: str
    """`lora`, `qlora` or `full`: how the weights are trained, as everywhere in this API."""
    params: Mapping[str, Any]
    """Fields of a configuration, for those that the request leaves out."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What AINode's configuration has no field for, in `spec`'s words."""
    sample_shape: str = ""
    estimated_time: str = _VARIES
    is_custom: bool = False

    def answer(self) -> dict[str, Any]:
        """As it is listed."""
        known = {"id": self.id, "name": self.name, "description": self.description, "method": self.method}
        listed = {**known, "default_params": dict(self.params), "estimated_time": self.estimated_time}
        if self.is_custom:
            return {**listed, "custom": True}
        return {
            **listed,
            "custom": False,
            "sample_shape": self.sample_shape,
            "recommended_epochs": self.params["num_epochs"],
            "recommended_batch_size": self.params["batch_size"],
            "recommended_lr": self.params["learning_rate"],
        }


def _params(num_epochs: int, batch_size: int, learning_rate: float, **others: Any) -> dict[str, Any]:
    return {"num_epochs": num_epochs, "batch_size": batch_size, "learning_rate": learning_rate, **others}


BUILT_IN = {
    template.id: template
    for template in (
        Template(
            "alpaca-instruct",
            "Alpaca instructions",
            "Follow instructions: each row has an instruction, an optional input, and the output.",
            "lora",
            _params(3, 4, 2e-4),
            sample_shape='{"instruction": "…", "input": "…", "output": "…"}',
        ),
        Template(
            "sharegpt-chat",
            "ShareGPT conversations",
            "Answer in conversations of several turns, as ShareGPT exports them.",
            "lora",
            _params(3, 2, 2e-4),
            sample_shape='{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
        ),
        Template(
            "classification-head",
            "Classification",
            "Answer with the label of a text: trained on the label's words, so the result is an ordinary adapter.",
            "lora",
            _params(3, 8, 1e-4),
            spec={
                "dataset": {"format": "prompt-completion", "columns": {"text": "prompt", "label": "completion"}},
            },
            sample_shape='{"text": "…", "label": "positive"}',
        ),
        Template(
            "dpo-preference",
            "Preferences (DPO)",
            "Prefer chosen over rejected answers, by direct preference optimization.",
            "lora",
            _params(1, 2, 1e-5),
            spec={"method": "dpo"},
            sample_shape='{"prompt": "…", "chosen": "…", "rejected": "…"}',
        ),
        Template(
            "distributed-ddp",
            "Distributed (DDP)",
            "Data-parallel over the GPUs of all nodes; set num_nodes to the nodes to be used.",
            "lora",
            _params(3, 4, 2e-4, distributed=True),
            sample_shape='{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
        ),
    )
}


def new_template(request: TemplateRequest, digits: str) -> Template:
    """The template that a request describes. Raises ConfigError for parameters that no job could have."""
    given = {**request.default_params, "method": request.method}
    parsed = parse_partial(given)
    params = {name: value for name, value in request.default_params.items() if name not in _NOT_KEPT}
    return Template(
        id=f"custom-{digits[:8]}",
        name=request.name.strip(),
        description=request.description,
        method=parsed.method,
        params=params,
        estimated_time=request.estimated_time,
        is_custom=True,
    )


def stored_template(document: Mapping[str, Any]) -> Template | None:
    """A custom template from its file; None for one that somebody has broken."""
    params, texts = document.get("default_params"), ("id", "name", "description", "method", "estimated_time")
    if not isinstance(params, dict) or not all(isinstance(document.get(name), str) for name in texts):
        return None
    try:
        parse_partial({**params, "method": document["method"]})
    except ConfigError:
        return None
    known = {name: document[name] for name in texts}
    return Template(**known, params=params, is_custom=True)


def filled(body: Mapping[str, Any], template: Template | None) -> dict[str, Any]:
    """The request's own fields over the template's."""
    given = {name: value for name, value in body.items() if value is not None}
    if template is None:
        return given
    known = {name: value for name, value in template.params.items() if name in TrainingConfig.model_fields}
    return {**known, "method": template.method, **given}


def with_template(spec: Mapping[str, Any], template: Template | None) -> dict[str, Any]:
    """`spec` with what the template says in its own words."""
    if template is None:
        return dict(spec)
    dataset = {**spec.get("dataset", {}), **template.spec.get("dataset", {})}
    merged = {**spec, **template.spec}
    return {**merged, "dataset": dataset} if dataset else merged
