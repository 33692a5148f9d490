"""The API, as clients see it: OpenAI's own client against a real process."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.support.engine_process import ADMIN_KEY, EngineProcess, changed_adapter, start_engine, wait_until

MESSAGES: list[Any] = [{"role": "user", "content": "show pods"}]


def chat(engine: EngineProcess, model: str = "tiny", **options: Any) -> Any:
    given = {"temperature": 0, "max_tokens": 12} | options
    return engine.client().chat.completions.create(model=model, messages=MESSAGES, **given)


def text(engine: EngineProcess, model: str = "tiny", **options: Any) -> str:
    return str(chat(engine, model, **options).choices[0].message.content)


def test_the_base_is_listed_first_then_its_adapters(
    engine_process: EngineProcess, tiny_model: Path, tiny_adapters: Path
) -> None:
    listed = [(model.id, model.object, model.root, model.parent) for model in engine_process.client().models.list()]  # type: ignore[attr-defined]
    assert listed == [
        ("tiny", "model", str(tiny_model), None),
        ("red", "model", str(tiny_adapters / "red"), "tiny"),
        ("blue", "model", str(tiny_adapters / "blue"), "tiny"),
    ]


def test_a_chat_is_answered_with_its_usage(engine_process: EngineProcess) -> None:
    answer = chat(engine_process, extra_body={"ignore_eos": True})
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12


def test_base_and_adapters_answer_differently_and_always_the_same(engine_process: EngineProcess) -> None:
    models = ["tiny", "red", "blue"] * 3
    with ThreadPoolExecutor(len(models)) as pool:
        answers = list(pool.map(lambda model: text(engine_process, model), models))
    assert answers[:3] == answers[3:6] == answers[6:]
    assert len(set(answers[:3])) == 3


def test_a_stream_brings_the_same_text_piece_by_piece(engine_process: EngineProcess) -> None:
    chunks = list(chat(engine_process, "red", stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(piece or "" for piece in pieces) == text(engine_process, "red")
    assert chunks[-2].choices[0].finish_reason in ("stop", "length")
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens > 0) == ([], True)


def test_a_completion_continues_texts_and_token_ids(engine_process: EngineProcess) -> None:
    client = engine_process.client()
    options: Any = {"model": "tiny", "temperature": 0, "max_tokens": 6}
    both = client.completions.create(prompt=["show pods", "logs"], **options)
    alone = client.completions.create(prompt="logs", **options)
    assert [choice.index for choice in both.choices] == [0, 1]
    assert both.choices[1].text == alone.choices[0].text
    assert alone.object == "text_completion"
    by_ids = client.completions.create(prompt=[[79, 82, 74, 86]], **options)
    assert by_ids.usage is not None
    assert by_ids.usage.prompt_tokens == 4
    streamed = client.completions.create(prompt="logs", stream=True, **options)
    assert "".join(chunk.choices[0].text for chunk in streamed) == alone.choices[0].text


def test_a_stop_string_ends_the_text_before_it_even_across_tokens(engine_process: EngineProcess) -> None:
    whole = text(engine_process, "red", max_tokens=30, extra_body={"ignore_eos": True})
    stop = whole[5:8]  # the tiny model has one token for each byte
    expected = whole[: whole.index(stop)]
    stopped = chat(engine_process, "red", max_tokens=30, stop=["never", stop], extra_body={"ignore_eos": True})
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (expected, "stop")
    streamed = chat(engine_process, "red", max_tokens=30, stop=stop, stream=True, extra_body={"ignore_eos": True})
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == expected


def test_a_seed_repeats_an_answer_and_its_choices_differ(engine_process: EngineProcess) -> None:
    def sampled(seed: int, n: int = 1) -> list[str]:
        answer = chat(engine_process, temperature=1.0, seed=seed, n=n, max_tokens=20)
        return [choice.message.content for choice in answer.choices]

    first = sampled(5, n=3)
    assert sampled(5, n=3) == first
    assert sampled(5) == first[:1]
    assert len({*first, *sampled(60)}) == 4


def test_many_requests_at_once_are_all_answered_as_one_alone(engine_process: EngineProcess) -> None:
    models = ["tiny", "red", "blue", "red"] * 8
    expected = {model: text(engine_process, model) for model in set(models)}
    with ThreadPoolExecutor(len(models)) as pool:
        answers = list(pool.map(lambda model: text(engine_process, model), models))
    assert answers == [expected[model] for model in models]


def test_a_client_that_goes_away_frees_its_place(engine_process: EngineProcess) -> None:
    body = {"model": "tiny", "messages": MESSAGES, "ignore_eos": True, "stream": True}
    before = engine_process.metric("generation_tokens_total")
    with httpx.stream("POST", f"{engine_process.url}/v1/chat/completions", json=body, timeout=60) as response:
        next(response.iter_lines())
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{engine_process.url}/v1/chat/completions", json=body | {"stream": False}, timeout=0.2)
    wait_until(lambda: engine_process.metric("requests_running") == 0, engine_process.log.read_text)
    assert engine_process.metric("generation_tokens_total") - before < 900, "an answer was made for nobody"


@pytest.mark.parametrize(
    ("options", "status", "expected"),
    [
        ({"model": "green"}, 404, "The model `green` does not exist."),
        ({"max_tokens": 4096}, 400, "maximum context length is 512 tokens"),
        ({"messages": [{"role": "user", "content": "x" * 600}]}, 400, "maximum context length is 512 tokens"),
        ({"messages": []}, 400, "messages"),
        ({"temperature": -1}, 400, "temperature"),
        ({"logit_bias": {"5": 1}}, 400, "'logit_bias' is not supported"),
        ({"logprobs": True}, 400, "'logprobs' is not supported"),
        ({"response_format": {"type": "json_object"}}, 400, "'response_format' is not supported"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "'tools' is not supported"),
        ({"extra_body": {"guided_regex": "a*"}}, 400, "'guided_regex' is not supported"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    engine_process: EngineProcess, options: dict[str, Any], status: int, expected: str
) -> None:
    given: dict[str, Any] = {"model": "tiny", "messages": MESSAGES} | options
    with pytest.raises(openai.APIStatusError, match=expected) as refusal:
        engine_process.client().chat.completions.create(**given)
    assert refusal.value.status_code == status
    body = refusal.value.response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["code"] == status


def test_what_changes_nothing_is_accepted(engine_process: EngineProcess) -> None:
    plain = text(engine_process)
    neutral: dict[str, Any] = {"user": "me", "tools": [], "logprobs": False, "response_format": {"type": "text"}}
    assert text(engine_process, extra_body=neutral) == plain


def test_adapters_are_loaded_swapped_and_unloaded_as_in_vllm(
    engine_process: EngineProcess, tiny_adapters: Path
) -> None:
    first = {"lora_name": "third", "lora_path": str(tiny_adapters / "red")}
    loaded = engine_process.admin("load_lora_adapter", first)
    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'third' added successfully.")
    assert text(engine_process, "third") == text(engine_process, "red")
    again = engine_process.admin("load_lora_adapter", first)
    assert again.status_code == 400
    assert "has already been loaded" in again.json()["error"]["message"]
    swapped = {"lora_name": "third", "lora_path": str(tiny_adapters / "red-2"), "load_inplace": True}
    assert engine_process.admin("load_lora_adapter", swapped).status_code == 200
    assert text(engine_process, "third") != text(engine_process, "red")
    fourth = engine_process.admin("load_lora_adapter", first | {"lora_name": "fourth"})
    assert (fourth.status_code, "--max-adapters" in fourth.text) == (400, True)
    unloaded = engine_process.admin("unload_lora_adapter", {"lora_name": "third"})
    assert (unloaded.status_code, unloaded.text) == (200, "Success: LoRA adapter 'third' removed successfully.")
    assert engine_process.admin("unload_lora_adapter", {"lora_name": "third"}).status_code == 404
    with pytest.raises(openai.NotFoundError):
        text(engine_process, "third")


def test_an_adapter_that_cannot_be_loaded_is_refused(
    engine_process: EngineProcess, tiny_adapters: Path, tmp_path: Path
) -> None:
    def load(path: Path, name: str = "other") -> tuple[int, str]:
        refused = engine_process.admin("load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
        return refused.status_code, refused.json()["error"]["message"]

    assert load(tmp_path / "nowhere")[0] == 404
    status, message = load(changed_adapter(tiny_adapters / "red", tmp_path / "dora", use_dora=True))
    assert (status, "use_dora" in message) == (400, True)
    assert load(tiny_adapters / "red", name="tiny")[0] == 400
    assert engine_process.admin("load_lora_adapter", {"lora_name": "other"}).status_code == 400


def test_admin_routes_need_the_key_and_never_log_it(engine_process: EngineProcess, tiny_adapters: Path) -> None:
    body = {"lora_name": "third", "lora_path": str(tiny_adapters / "red")}
    for route in ("load_lora_adapter", "unload_lora_adapter"):
        for key in (None, "wrong", "schlüssel"):
            header = {"Authorization": f"Bearer {key}".encode()} if key else {}
            refused = httpx.post(f"{engine_process.url}/v1/{route}", json=body, headers=header)
            assert refused.status_code == 401
    log = engine_process.log.read_text()
    assert ADMIN_KEY not in log
    assert "Traceback" not in log


def test_bodies_that_are_no_json_and_unknown_paths_get_openais_errors(engine_process: EngineProcess) -> None:
    broken = httpx.post(f"{engine_process.url}/v1/chat/completions", content=b"{")
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "BadRequestError")
    key = {"Authorization": f"Bearer {ADMIN_KEY}"}
    broken = httpx.post(f"{engine_process.url}/v1/load_lora_adapter", content=b"{", headers=key)
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "BadRequestError")
    assert httpx.get(f"{engine_process.url}/v1/nothing").json()["error"]["code"] == 404


def test_after_sigterm_running_answers_end_and_the_engine_leaves(tiny_model: Path, tmp_path: Path) -> None:
    engine = start_engine(tmp_path, tiny_model, "--drain-seconds", "30")
    body = {"model": "tiny", "messages": MESSAGES, "ignore_eos": True, "stream": True, "max_tokens": 200}
    with httpx.stream("POST", f"{engine.url}/v1/chat/completions", json=body, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        engine.process.send_signal(signal.SIGTERM)
        events = [line.removeprefix("data: ") for line in lines if line]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "length"
    assert engine.process.wait(600) == 0, engine.log.read_text()
