"""Named templates write what their models were trained on, end every turn, and run nothing that a user wrote."""

from typing import Any

import pytest

from fettle_data.chat_template import ChatTemplate
from fettle_data.findings import DatasetError, FindingCode
from fettle_data.templates import (
    Answer,
    end_of_turn,
    keeps_reasoning,
    missing_tokens,
    special_tokens,
    template_text,
)
from fettle_schema.dataset import TemplateSpec

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Pods?"}
ASSISTANT = {"role": "assistant", "content": "get pods"}
TOOL = {"role": "tool", "content": "3 pods"}
THINKS = {**ASSISTANT, "reasoning_content": "easy"}
ANSWER_STARTS = "<|im_start|>assistant\n"
AFFIXES = {
    "systemPrefix": "[SYSTEM] ",
    "systemSuffix": "\n",
    "userPrefix": "[USER] ",
    "userSuffix": "\n",
    "assistantPrefix": "[ASSISTANT] ",
    "assistantSuffix": "\n",
}
WHOLES = {
    "promptTemplate": "{system}\n### {prompt}\n",
    "chosenTemplate": "+{chosen}",
    "rejectedTemplate": "-{rejected}",
}


def spec(name: str, thinking: bool | None = None, **custom: str) -> TemplateSpec:
    return TemplateSpec.model_validate({"name": name, "thinking": thinking, "custom": custom or None})


def rendered(template: TemplateSpec, *messages: dict[str, str], answer: Answer = "chosen", **options: Any) -> str:
    text = template_text(template, answer)
    assert text is not None
    return ChatTemplate(text, TOKENS)(messages, **options)


@pytest.mark.parametrize(
    ("template", "messages", "expected"),
    [
        (
            spec("chatml"),
            [SYSTEM, USER, ASSISTANT, TOOL],
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nPods?<|im_end|>\n"
            "<|im_start|>assistant\nget pods<|im_end|>\n<|im_start|>tool\n3 pods<|im_end|>\n",
        ),
        (
            spec("llama3"),
            [SYSTEM, USER, {**ASSISTANT, "content": " get pods\n"}, TOOL],
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nPods?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nget pods<|eot_id|>"
            "<|start_header_id|>ipython<|end_header_id|>\n\n3 pods<|eot_id|>",
        ),
        (
            spec("mistral"),
            [SYSTEM, USER, ASSISTANT, USER, ASSISTANT],
            "<s>[INST] Be brief.\n\nPods? [/INST] get pods</s>[INST] Pods? [/INST] get pods</s>",
        ),
        (spec("mistral"), [USER, ASSISTANT], "<s>[INST] Pods? [/INST] get pods</s>"),
        (
            spec("qwen3"),
            [SYSTEM, USER, THINKS, USER, ASSISTANT],
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nPods?<|im_end|>\n"
            "<|im_start|>assistant\n<think>\neasy\n</think>\n\nget pods<|im_end|>\n<|im_start|>user\nPods?<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n\n</think>\n\nget pods<|im_end|>\n",
        ),
        (
            spec("qwen3", thinking=False),
            [USER, THINKS, TOOL, TOOL],
            "<|im_start|>user\nPods?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nget pods<|im_end|>\n"
            "<|im_start|>user\n<tool_response>\n3 pods\n</tool_response>"
            "\n<tool_response>\n3 pods\n</tool_response><|im_end|>\n",
        ),
        (
            spec("custom", **AFFIXES),
            [SYSTEM, USER, ASSISTANT, USER, ASSISTANT],
            "[SYSTEM] Be brief.\n[USER] Pods?\n[ASSISTANT] get pods\n</s>[USER] Pods?\n[ASSISTANT] get pods\n</s>",
        ),
        (spec("custom", assistantSuffix="<|end|>\n"), [USER, ASSISTANT], "Pods?get pods<|end|>\n"),
        (
            spec("custom", **WHOLES),
            [SYSTEM, USER, ASSISTANT, USER, ASSISTANT],
            "Be brief.\n### Pods?\n+get pods</s>\n### Pods?\n+get pods</s>",
        ),
        (spec("custom", promptTemplate="{prompt}>"), [USER, ASSISTANT], "Pods?>get pods</s>"),
    ],
)
def test_conversation_becomes_the_text_of_the_template(
    template: TemplateSpec, messages: list[dict[str, str]], expected: str
) -> None:
    assert rendered(template, *messages) == expected


@pytest.mark.parametrize(
    ("template", "asks"),
    [
        (spec("chatml"), ANSWER_STARTS),
        (spec("llama3"), "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        (spec("mistral"), ""),
        (spec("qwen3"), ANSWER_STARTS),
        (spec("qwen3", thinking=True), ANSWER_STARTS),
        (spec("qwen3", thinking=False), f"{ANSWER_STARTS}<think>\n\n</think>\n\n"),
        (spec("custom", **AFFIXES), "[ASSISTANT] "),
        (spec("custom", **WHOLES), ""),
    ],
)
def test_prompt_is_the_beginning_of_the_answered_conversation(template: TemplateSpec, asks: str) -> None:
    conversation = [SYSTEM, USER, ASSISTANT, USER]
    asked = rendered(template, *conversation, add_generation_prompt=True)
    assert asked == rendered(template, *conversation) + asks
    assert rendered(template, *conversation, ASSISTANT).startswith(asked)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (spec("custom", **WHOLES), "\n### Pods?\n+get pods</s>\n### Pods?\n-get pods</s>"),
        (
            spec("custom", promptTemplate="{prompt}", chosenTemplate="{chosen}<|end|>"),
            "Pods?get pods<|end|>Pods?get pods<|end|>",
        ),
        (spec("mistral"), "<s>[INST] Pods? [/INST] get pods</s>[INST] Pods? [/INST] get pods</s>"),
    ],
)
def test_rejected_template_writes_the_last_answer(template: TemplateSpec, expected: str) -> None:
    assert rendered(template, USER, ASSISTANT, USER, ASSISTANT, answer="rejected") == expected


@pytest.mark.parametrize(
    "hostile",
    [
        "{{ 7 * 7 }}",
        "{% if true %}49{% endif %}",
        "{# gone #}",
        "' + cycler.__init__.__globals__ + '",
        "'}} {{ raise_exception('x') }} {{'",
        "\\' \\u0041 \\n \\N{DIGIT ONE} \\",
        "\r\n\t'\"\x0b é \U0001f600 {% raw %}",
        "-}} {%- endfor -%}",
    ],
)
def test_pieces_are_written_and_never_run(hostile: str) -> None:
    assert rendered(spec("custom", userPrefix=hostile, userSuffix=hostile), USER) == f"{hostile}Pods?{hostile}"
    assert rendered(spec("custom", promptTemplate=f"{hostile}{{prompt}}{hostile}"), USER) == f"{hostile}Pods?{hostile}"


def test_other_braces_of_a_piece_are_text() -> None:
    assert rendered(spec("custom", promptTemplate='{"q": {prompt}, {chosen}}'), USER) == '{"q": Pods?, {chosen}}'


@pytest.mark.parametrize(
    ("template", "messages", "words"),
    [
        (spec("mistral"), [USER, USER], "role 'user' out of turn"),
        (spec("mistral"), [ASSISTANT], "role 'assistant' out of turn"),
        (spec("mistral"), [USER, TOOL], "role 'tool' out of turn"),
        (spec("mistral"), [USER, SYSTEM], "'mistral' has turns of user and assistant"),
        (spec("custom", **AFFIXES), [USER, TOOL], "a message of another role"),
        (spec("custom", **WHOLES), [USER, USER], "promptTemplate makes turns of user and assistant"),
        (spec("custom", promptTemplate="{prompt}"), [SYSTEM, USER], "no {system} in spec.dataset.template.custom"),
        (spec("chatml"), [], "one message at least"),
    ],
)
def test_order_that_the_template_does_not_know_is_refused(
    template: TemplateSpec, messages: list[dict[str, str]], words: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        rendered(template, *messages)
    assert caught.value.code == FindingCode.TEMPLATE_REFUSED
    assert caught.value.hint
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ({"userPrefix": "a", "promptTemplate": "{prompt}"}, "custom: prefixes and suffixes cannot be mixed"),
        ({"chosenTemplate": "{chosen}"}, "custom.promptTemplate: it is missing"),
        ({"promptTemplate": "a"}, "custom.promptTemplate: there is no {prompt} in it"),
        ({"promptTemplate": "{prompt}", "chosenTemplate": "a"}, "custom.chosenTemplate: there is no {chosen}"),
        ({"promptTemplate": "{prompt}", "rejectedTemplate": "{chosen}"}, "custom.rejectedTemplate: there is no"),
    ],
)
def test_pieces_that_make_no_template_are_refused(pieces: dict[str, str], words: str) -> None:
    with pytest.raises(DatasetError) as caught:
        template_text(spec("custom", **pieces))
    assert caught.value.code == FindingCode.WRONG_TEMPLATE
    assert str(caught.value).startswith(f"spec.dataset.template.{words}")


@pytest.mark.parametrize(
    ("template", "tokens", "end"),
    [
        (spec("tokenizer"), (), None),
        (spec("chatml"), ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
        (spec("qwen3"), ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
        (spec("llama3"), ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>"),
        (spec("mistral"), (), None),
        (spec("custom", **AFFIXES), (), None),
        (spec("custom", assistantPrefix="<|a|>", assistantSuffix="<|e|>\n"), ("<|a|>", "<|e|>"), "<|e|>"),
        (spec("custom", promptTemplate="<bos>{prompt}", chosenTemplate="{chosen}</s> "), ("<bos>", "</s>"), "</s>"),
    ],
)
def test_tokens_of_a_template_are_known(template: TemplateSpec, tokens: tuple[str, ...], end: str | None) -> None:
    assert special_tokens(template) == tokens
    assert end_of_turn(template) == end


def test_tokens_that_a_tokenizer_lacks_are_found() -> None:
    counts = {"<|im_start|>": 1, "<|im_end|>": 6}
    found = missing_tokens(spec("chatml"), counts.__getitem__)
    assert [finding.code for finding in found] == [FindingCode.MISSING_TOKEN]
    assert str(found[0]).startswith("spec.dataset.template: the template 'chatml' writes '<|im_end|>', which is not")
    assert "end its turns" in str(found[0])


def test_reasoning_is_kept_where_it_is_written() -> None:
    assert keeps_reasoning(spec("qwen3"))
    assert not keeps_reasoning(spec("qwen3", thinking=False))
    assert not keeps_reasoning(spec("chatml"))
    assert keeps_reasoning(spec("tokenizer"), "{{ message.reasoning_content }}")
    assert not keeps_reasoning(spec("tokenizer"))


def test_thinking_can_be_switched_when_text_is_generated() -> None:
    text = template_text(spec("qwen3"))
    assert text is not None
    quiet = ChatTemplate(text, {"enable_thinking": False})  # type: ignore[dict-item] # rendered like a token
    assert quiet([USER], add_generation_prompt=True).endswith("<think>\n\n</think>\n\n")
