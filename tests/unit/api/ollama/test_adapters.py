from typing import Any

import pytest

from fettle_api.errors import ImportRefusedError
from fettle_api.ollama.adapters import converted_config


@pytest.mark.parametrize(
    ("config", "converted"),
    [
        ({"r": 16, "lora_alpha": 32.0, "use_dora": False, "bias": "none"}, {"r": 16, "lora_alpha": 32}),
        (
            {"r": 16, "lora_alpha": 8.5},
            {"r": 16, "lora_alpha": 8, "lora_parameters": {"rank": 16, "alpha": 8.5, "scale": 0.53125}},
        ),
        ({"r": 16, "lora_alpha": 32.0, "use_rslora": True}, {"r": 16, "lora_alpha": 128}),
        (
            {
                "r": 8,
                "lora_alpha": 16,
                "peft_type": "LORA",
                "target_modules": ["q_proj"],
                "base_model_name_or_path": "x",
            },
            {"r": 8, "lora_alpha": 16, "peft_type": "LORA", "target_modules": ["q_proj"]},
        ),
    ],
)
def test_numbers_as_ollama_reads_them(config: dict[str, Any], converted: dict[str, Any]) -> None:
    found = converted_config(config)
    assert found == converted
    assert isinstance(found["lora_alpha"], int)


@pytest.mark.parametrize(
    "change",
    [
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"alpha_pattern": {"q_proj": 4}},
        {"rank_pattern": {"q_proj": 4}},
        {"lora_bias": True},
        {"bias": "all"},
        {"r": 0},
        {"r": "8"},
        {"lora_alpha": None},
        {"lora_alpha": True},
        {"lora_alpha": float("nan")},
    ],
)
def test_what_would_become_another_adapter(change: dict[str, Any]) -> None:
    with pytest.raises(ImportRefusedError):
        converted_config({"r": 8, "lora_alpha": 16, **change})
