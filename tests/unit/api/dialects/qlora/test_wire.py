from typing import Any

import pytest

from fettle_api.dialects.qlora.wire import RequestError, check_start, check_upload, parse_start

GOOD: dict[str, Any] = {"model_name": "phi-2", "train_texts": ["a"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": None}, "model_name is required"),
        ({"model_name": "  "}, "model_name is required"),
        ({"model_name": 5}, "model_name must be a string"),
        ({"model_name": "a\0"}, "model_name must be a string"),
        ({"train_texts": None}, "train_texts is required and must not be empty"),
        ({"train_texts": ""}, "train_texts is required and must not be empty"),
        ({"train_texts": {"a": "b"}}, "train_texts must be a list"),
        ({"train_texts": "abc"}, "train_texts must be a list"),
        ({"train_texts": ["a", None]}, "train_texts[1] must be a string"),
        ({"train_texts": [], "training_data": "x"}, "training_data must be a list"),
        ({"train_texts": [], "training_data": [1]}, "training_data[0] must be an object with instruction and output"),
        ({"train_texts": [], "training_data": [{"output": "x"}]}, "training_data[0].instruction is required"),
        ({"lora_config": []}, "lora_config must be an object"),
        ({"lora_config": {"r": 0}}, "lora_config.r must be >= 1"),
        ({"lora_config": {"r": True}}, "lora_config.r must be a number"),
        ({"lora_config": {"target_modules": []}}, "lora_config.target_modules must not be empty"),
        ({"lora_config": {"target_modules": [1]}}, "lora_config.target_modules[0] must be a string"),
        ({"lora_config": {"bias": "some"}}, "lora_config.bias must be 'none', 'all' or 'lora_only'"),
        ({"training_config": "fast"}, "training_config must be an object"),
        ({"training_config": {"num_epochs": 0}}, "training_config.num_epochs must be > 0"),
        ({"training_config": {"max_steps": -2}}, "training_config.max_steps must be >= -1"),
        ({"training_config": {"learning_rate": "fast"}}, "training_config.learning_rate must be a number"),
        ({"training_config": {"warmup_steps": 1.5}}, "training_config.warmup_steps must be an integer"),
        ({"adapter_name": " "}, "adapter_name must not be blank"),
        ({"output_dir": 5}, "output_dir must be a string"),
        ({"description": "x" * 5000}, "description must have at most 4096 characters"),
    ],
)
def test_the_first_mistake_is_named(changes: dict[str, Any], message: str) -> None:
    body = {**GOOD, **changes}
    with pytest.raises(RequestError) as refusal:
        parse_start(body, *check_start(body))
    assert str(refusal.value) == message


def test_an_unknown_key_is_named_with_those_that_are_known() -> None:
    with pytest.raises(RequestError, match=r"Unknown training_config key: epochs\. Allowed are num_epochs, "):
        parse_start({**GOOD, "training_config": {"epochs": 1, "foo": 2}}, "phi-2", ["a"])


@pytest.mark.parametrize("body", [{}, {"lora_config": None, "training_config": None, "adapter_name": None}])
def test_null_is_the_default(body: dict[str, Any]) -> None:
    start = parse_start(body, "phi-2", ["a"])
    assert (start.lora_config.r, start.training_config.num_epochs, start.adapter_name) == (4, 3, None)
    assert start.echo() == {"model_name": "phi-2"}


def test_an_upload() -> None:
    assert check_upload({"train_texts": ["a"], "dataset_name": " x "}) == ("x", ["a"])
    assert check_upload({"train_texts": ["a"], "foo": 1}) == (None, ["a"])
    for body in ({}, {"train_texts": []}, {"train_texts": ["a"], "dataset_name": 5}):
        with pytest.raises(RequestError):
            check_upload(body)
