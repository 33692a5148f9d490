"""`Previews.formatted`: the rows as they are trained on, through the real process."""

import json
from pathlib import Path
from typing import Any

import pytest

from fettle_api.datasets.preview import Previews
from fettle_api.datasets.views import FormattedRows, ModelTemplate
from fettle_api.errors import DatasetRefusedError
from fettle_schema.dataset import DatasetSpec
from fettle_schema.training_job import Method

PAIR = {"system": "S", "prompt": "a", "chosen": "b", "rejected": "c"}
TEMPLATE = ModelTemplate(
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}",
    {"eos_token": "</s>"},
)


async def formatted(
    root: Path,
    rows: list[dict[str, Any]],
    method: Method | None = None,
    model: ModelTemplate | None = None,
    **dataset: Any,
) -> FormattedRows:
    (root / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {"source": {"workspace": {"path": "data.jsonl"}}, "template": {"name": "chatml"}, **dataset}
    return await Previews(root, 2**30, 20).formatted(DatasetSpec.model_validate(spec), method, 3, model)


async def test_pairs_have_a_prompt_and_two_answers(tmp_path: Path) -> None:
    found = await formatted(tmp_path, [PAIR])
    prompt = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
    assert found.method == "orpo"
    assert [tuple(row.texts["chosen"]) for row in found.rows] == [(prompt, "b<|im_end|>\n")]
    assert tuple(found.rows[0].texts["rejected"]) == (prompt, "c<|im_end|>\n")


async def test_answers_without_a_choice_are_for_sft(tmp_path: Path) -> None:
    found = await formatted(tmp_path, [{"q": "a", "completion": "b"}], columns={"q": "prompt"})
    assert found.method == "sft"
    assert found.rows[0].texts["text"][1] == "b<|im_end|>\n"


async def test_the_models_own_template(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    found = await formatted(tmp_path, [{"messages": messages}], model=TEMPLATE, template={"name": "tokenizer"})
    assert tuple(found.rows[0].texts["text"]) == ("<user>a</s><assistant>", "b</s>")


async def test_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    found = await formatted(tmp_path, [PAIR, {"prompt": "a", "chosen": "b"}])
    assert len(found.rows) == 1
    assert "rejected" in found.findings[0]


@pytest.mark.parametrize(
    ("rows", "method", "words"),
    [
        ([], None, "no rows"),
        ([{"x": "y"}], Method.ORPO, "fit no format"),
        ([{"prompt": "a", "completion": "b"}], Method.ORPO, "trains on"),
        ([PAIR | {"rejected": "b"}], None, "are the same"),
    ],
)
async def test_a_dataset_of_which_no_row_can_be_used_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], method: Method | None, words: str
) -> None:
    with pytest.raises(DatasetRefusedError, match=words):
        await formatted(tmp_path, rows, method)


async def test_a_dataset_of_the_hub_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DatasetRefusedError, match="on the hub"):
        await formatted(tmp_path, [], source={"huggingFace": {"id": "c/d"}})


async def test_a_template_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    endless = ModelTemplate("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", {})
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    spec = {"source": {"workspace": {"path": "data.jsonl"}}, "template": {"name": "tokenizer"}}
    with pytest.raises(DatasetRefusedError, match="more time or memory"):
        await Previews(tmp_path, 2**30, 3).formatted(DatasetSpec.model_validate(spec), Method.SFT, 3, endless)
