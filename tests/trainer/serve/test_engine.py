"""The generate loop itself: rows of several adapters in one batch, and that no row changes another's answer."""

import copy
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from fettle_trainer.serve.errors import RequestError
from fettle_trainer.serve.sampling import SamplingParameters
from fettle_trainer.serve.sequences import Answer, SequenceRequest

PROMPTS = ["show pods", "a much longer request that lists every node of the cluster by name", "hi", "logs of web-1"]
GREEDY = SamplingParameters(temperature=0)


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> Any:
    from fettle_trainer.serve.loading import load_model

    return load_model(tiny_model, "fp32")


def new_engine(loaded: Any, adapters: Path | None = None, **limits: int) -> Any:
    from fettle_trainer.serve.engine import Engine
    from fettle_trainer.serve.loading import choose_limits

    engine = Engine(
        copy.deepcopy(loaded.model), loaded.tokenizer, ["tiny"], choose_limits(loaded, None, 64 << 20, **limits)
    )
    for name in ("red", "blue") if adapters else ():
        engine.add_adapter(name, adapters / name, engine.read_adapter(adapters / name))
    return engine


def requests(loaded: Any, max_new_tokens: int = 24, **parameters: Any) -> list[SequenceRequest]:
    chosen = SamplingParameters(**parameters) if parameters else GREEDY
    encoded = [loaded.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    return [SequenceRequest(ids, max_new_tokens, chosen, index=index) for index, ids in enumerate(encoded)]


def texts(answers: dict[int, Answer]) -> list[str]:
    return [answers[index].text for index in sorted(answers)]


def alone(engine: Any, request: SequenceRequest, adapter: str | None = None) -> str:
    answers = engine.begin([request], adapter)
    engine.run()
    return str(answers[request.index].text)


def test_base_and_adapters_share_a_batch_and_each_row_is_what_it_is_alone(loaded: Any, tiny_adapters: Path) -> None:
    engine = new_engine(loaded, tiny_adapters)
    asked = requests(loaded)
    together = {adapter: engine.begin(asked, adapter) for adapter in (None, "red", "blue")}
    engine.run()

    for adapter, answers in together.items():
        assert texts(answers) == [alone(engine, request, adapter) for request in asked]
    assert len({tuple(texts(answers)) for answers in together.values()}) == 3


def test_an_adapter_answers_as_in_peft(loaded: Any, tiny_model: Path, tiny_adapters: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    engine = new_engine(loaded)
    for name in ("red", "blue", "red-2"):
        engine.add_adapter(name, tiny_adapters / name, engine.read_adapter(tiny_adapters / name))
        base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        adapted = PeftModel.from_pretrained(base, tiny_adapters / name).eval()
        for request in requests(loaded):
            ids = torch.tensor([request.prompt])
            expected = adapted.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, eos_token_id=None
            )[0, ids.shape[1] :]
            assert alone(engine, request, name) == loaded.tokenizer.decode(expected, skip_special_tokens=True), name


def test_rows_that_join_late_and_leave_early_change_nothing(loaded: Any, tiny_adapters: Path) -> None:
    engine = new_engine(loaded, tiny_adapters, max_batch=3)
    lengths = (40, 3, 17, 9)
    asked = [
        SequenceRequest(request.prompt, length, GREEDY, index=request.index)
        for request, length in zip(requests(loaded), lengths, strict=True)
    ]
    expected = [alone(engine, request) for request in asked]
    early = engine.begin(asked[:2])
    for _ in range(5):
        engine.step()
    late = engine.begin(asked[2:])
    engine.run()
    assert texts(early | late) == expected


def test_rows_that_outgrow_the_memory_give_way_and_are_finished_later(loaded: Any) -> None:
    roomy, narrow = new_engine(loaded), new_engine(loaded)
    asked = requests(loaded, max_new_tokens=60)
    expected = [alone(roomy, request) for request in asked]
    width = max(len(request.prompt) for request in asked)
    narrow.limits = type(narrow.limits)(max_length=512, cache_tokens=4 * (width + 20))
    answers = narrow.begin(asked)
    narrow.run()
    assert texts(answers) == expected


def test_a_seed_gives_the_same_answer_whatever_else_runs(loaded: Any, tiny_adapters: Path) -> None:
    engine = new_engine(loaded, tiny_adapters)
    asked = requests(loaded, temperature=1.0, top_p=0.9, seed=7)
    first = [alone(engine, request, "red") for request in asked]
    engine.begin(requests(loaded, temperature=1.5), "blue")
    again = engine.begin(asked, "red")
    engine.run()
    assert texts(again) == first
    assert alone(engine, requests(loaded, temperature=1.0, top_p=0.9, seed=8)[0], "red") != first[0]


def test_a_cancelled_answer_frees_its_place(loaded: Any) -> None:
    engine = new_engine(loaded, max_batch=1)
    (first, second) = engine.submit(requests(loaded, max_new_tokens=400)[:2], None, lambda answer: None)
    engine.step()
    assert (engine.running_count, engine.waiting_count) == (1, 1)
    first.is_cancelled = True
    engine.step()
    assert (engine.running_count, engine.waiting_count, len(second.tokens)) == (1, 0, 2)
    second.is_cancelled = True
    engine.step()
    assert engine.is_idle


def test_a_replaced_adapter_serves_those_who_began_with_it(loaded: Any, tiny_adapters: Path) -> None:
    engine = new_engine(loaded, tiny_adapters)
    request = requests(loaded)[0]
    with_red = alone(engine, request, "red")
    begun = engine.begin([request], "red")
    engine.step()
    engine.add_adapter("red", tiny_adapters / "red-2", engine.read_adapter(tiny_adapters / "red-2"), replaces=True)
    after = engine.begin([request], "red")
    engine.run()
    assert begun[0].text == with_red
    assert after[0].text == alone(engine, request, "red") != with_red
    engine.adapters.remove("red")
    with pytest.raises(RequestError, match="does not exist"):
        engine.begin([request], "red")


def test_more_answers_than_may_wait_are_refused_all_together(loaded: Any) -> None:
    engine = new_engine(loaded, max_waiting=5)
    engine.begin(requests(loaded))
    with pytest.raises(RequestError, match="5 may wait") as refusal:
        engine.begin(requests(loaded))
    assert (refusal.value.status, engine.waiting_count) == (429, 4)


def test_an_iteration_that_fails_ends_its_answers_and_not_the_engine(loaded: Any) -> None:
    from fettle_trainer.serve.worker import Worker

    engine = new_engine(loaded)
    expected = alone(engine, requests(loaded)[0])

    def fail(*_: Any) -> None:
        hook.remove()
        raise MemoryError

    hook = engine._model.register_forward_pre_hook(fail)
    worker, answers = Worker(engine), Queue[Answer]()
    worker.start()
    try:
        worker.submit(requests(loaded)[:1], None, answers.put)
        error = answers.get(timeout=60).error
        assert error is not None
        assert (error.status, "MemoryError" in error.message) == (500, True)
        worker.submit(requests(loaded)[:1], None, answers.put)
        assert answers.get(timeout=60).text == expected
    finally:
        worker.stop(60)
    with pytest.raises(RequestError, match="stopping"):
        worker.submit(requests(loaded)[:1], None, answers.put)


def test_an_answer_that_cannot_fit_into_memory_is_refused_at_the_start(loaded: Any) -> None:
    from fettle_trainer.failures import TrainerFailure
    from fettle_trainer.serve.loading import choose_limits

    assert choose_limits(loaded, None, 100 * loaded.cache_bytes_per_token).max_length == 100
    with pytest.raises(TrainerFailure, match="--max-length 101"):
        choose_limits(loaded, 101, 100 * loaded.cache_bytes_per_token)


@pytest.mark.parametrize(
    ("changes", "status", "expected"),
    [
        ({"peft_type": "LOHA"}, 400, "peft_type 'LOHA'"),
        ({"use_dora": True}, 400, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, 400, "modules_to_save"),
        ({"bias": "all"}, 400, "bias 'all'"),
        ({"init_lora_weights": "pissa_niter_4"}, 400, "init_lora_weights"),
        ({"rank": 9}, 400, "rank 9 is greater than max_lora_rank 8"),
        ({"input": 48}, 400, "was made for another base model"),
        ({"module": "model.layers.7.self_attn.q_proj"}, 400, "'model.layers.7.self_attn.q_proj'"),
        ({"tensor": "base_model.model.lm_head.weight"}, 400, "'base_model.model.lm_head.weight'"),
        ({"missing": "adapter_model.safetensors"}, 404, "adapter_model.safetensors is missing"),
        ({"missing": "adapter_config.json"}, 404, "No adapter found"),
        ({"value": float("nan")}, 400, "not finite"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused_by_name(
    loaded: Any, tmp_path: Path, changes: dict[str, Any], status: int, expected: str
) -> None:
    engine = new_engine(loaded, max_lora_rank=8)
    with pytest.raises(RequestError, match=expected) as refusal:
        engine.read_adapter(write_adapter(tmp_path, **changes))
    assert refusal.value.status == status


def write_adapter(
    directory: Path,
    *,
    rank: int = 4,
    input: int = 32,
    value: float = 1.0,
    module: str = "model.layers.0.self_attn.q_proj",
    tensor: str | None = None,
    missing: str | None = None,
    **settings: Any,
) -> Path:
    """An adapter for one layer of the tiny model, or nearly."""
    import json

    import torch
    from safetensors.torch import save_file

    name = f"base_model.model.{module}"
    tensors = {
        f"{name}.lora_A.weight": torch.full((rank, input), value),
        f"{name}.lora_B.weight": torch.ones(32, rank),
    } | ({tensor: torch.ones(2, 2)} if tensor else {})
    save_file(tensors, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 8} | settings))
    if missing:
        (directory / missing).unlink()
    return directory
