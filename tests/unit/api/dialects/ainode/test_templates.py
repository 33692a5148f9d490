import json
from pathlib import Path
from typing import Any

import pytest

from fettle_api.dialects.ainode.templates import (
    BUILT_IN,
    Template,
    filled,
    new_template,
    stored_template,
    with_template,
)
from fettle_api.dialects.ainode.translate import request_of_config
from fettle_api.dialects.ainode.wire import ConfigError, TemplateRequest, parse_config
from fettle_api.web.idempotency import Identity
from fettle_data.prepare import prepare
from fettle_schema.validation import admit

ROWS: dict[str, dict[str, Any]] = {
    "alpaca-instruct": {"instruction": "Add.", "input": "1 1", "output": "2"},
    "sharegpt-chat": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "classification-head": {"text": "I like it", "label": "positive"},
    "dpo-preference": {"prompt": "Hi", "chosen": "Hello", "rejected": "Go away"},
    "distributed-ddp": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
}


def spec_of(template: Template, **body: Any) -> dict[str, Any]:
    """The whole spec of a job that names the template, defaults filled in."""
    given = {"base_model": "a/b", "dataset_path": "rows", "template_id": template.id, **body}
    config = parse_config(filled(given, template), is_known_template=True)
    request = request_of_config(config, Identity("0" * 64), template)
    source = {"workspace": {"path": "rows.jsonl"}}
    spec = {
        **request.spec,
        "baseModel": {"id": "a/b"},
        "dataset": {**request.spec.get("dataset", {}), "source": source},
    }
    manifest = {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "demo"}, "spec": spec}
    admitted: dict[str, Any] = admit(manifest)["spec"]
    return admitted


@pytest.mark.parametrize("template", BUILT_IN.values(), ids=lambda template: template.id)
def test_a_built_in_template_trains_on_what_it_shows(template: Template, tmp_path: Path) -> None:
    from fettle_schema.training_job import TrainingJobSpec

    row = ROWS[template.id]
    assert json.loads(template.sample_shape).keys() == row.keys()
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 10)
    spec = TrainingJobSpec.model_validate(spec_of(template))
    assert spec.dataset is not None
    prepared = prepare(spec.dataset, spec.method, 42, tmp_path)
    assert len(prepared.train) == 9
    if template.id == "classification-head":
        assert prepared.train[0] == {"prompt": "I like it", "completion": "positive"}


def test_what_the_templates_are() -> None:
    methods = {name: spec_of(template)["method"] for name, template in BUILT_IN.items()}
    assert methods.pop("dpo-preference") == "dpo"
    assert set(methods.values()) == {"sft"}
    assert spec_of(BUILT_IN["distributed-ddp"], num_nodes=3)["resources"]["nodes"] == 3
    assert spec_of(BUILT_IN["distributed-ddp"])["resources"]["nodes"] == 1


def test_the_request_wins_over_the_template() -> None:
    template = BUILT_IN["dpo-preference"]
    spec = spec_of(template, learning_rate=3e-6, method="qlora", num_epochs=None)
    assert spec["hyperparameters"]["learningRate"] == 3e-6
    assert spec["hyperparameters"]["epochs"] == template.params["num_epochs"]
    assert spec["adapter"]["type"] == "qlora"


def test_the_templates_id_is_kept_on_the_job() -> None:
    template = BUILT_IN["alpaca-instruct"]
    body = {"base_model": "a/b", "dataset_path": "d", "template_id": template.id}
    config = parse_config(filled(body, template), is_known_template=True)
    assert request_of_config(config, Identity("0" * 64), template).template_id == template.id


def test_an_unknown_template_is_refused_with_all_else() -> None:
    with pytest.raises(ConfigError, match=r"dataset_path is required; template_id: unknown template 'x'"):
        parse_config({"base_model": "a", "template_id": "x"})


def test_a_custom_template_is_stored_and_found_again() -> None:
    request = TemplateRequest(name=" Mine ", method="full", default_params={"num_epochs": 5, "unknown": [1]})
    template = new_template(request, "0123456789abcdef")
    assert (template.id, template.name, template.params) == (
        "custom-01234567",
        "Mine",
        {"num_epochs": 5, "unknown": [1]},
    )
    assert stored_template(template.answer()) == template
    assert filled({"base_model": "a"}, template) == {"base_model": "a", "method": "full", "num_epochs": 5}


@pytest.mark.parametrize(
    "params", [{"num_epochs": 0}, {"batch_size": "x"}, {"lora_rank": True}, {"base_model": 5}, {"run_name": "a\0b"}]
)
def test_a_template_that_no_job_can_have_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        new_template(TemplateRequest(name="x", default_params=params), "0" * 8)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": "custom-1", "name": "x"},
        {"id": 1, "name": "x", "description": "", "method": "lora", "estimated_time": "", "default_params": {}},
        {"id": "c", "name": "x", "description": "", "method": "magic", "estimated_time": "", "default_params": {}},
        {"id": "c", "name": "x", "description": "", "method": "lora", "estimated_time": "", "default_params": []},
    ],
)
def test_a_broken_file_is_no_template(document: dict[str, Any]) -> None:
    assert stored_template(document) is None


def test_without_a_template_nothing_changes() -> None:
    assert with_template({"method": "sft"}, None) == {"method": "sft"}
    assert filled({"a": 1, "b": None}, None) == {"a": 1}
