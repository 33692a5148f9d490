"""Which text an example becomes, and which characters of it carry loss."""

from typing import Any

import pytest

from fettle_data.chat_template import ChatTemplate
from fettle_data.rendering import Piece, SettingError, render, render_answers
from fettle_data.templates import template_text
from fettle_schema.dataset import TemplateSpec

CHATML = ChatTemplate(
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '</>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
FORGETFUL = ChatTemplate(
    "{% for m in messages %}{{ m.role }}:{{ m.content if loop.last or m.role != 'assistant' else '…' }}|{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Häuser?"},
    {"role": "assistant", "content": "get pods"},
    {"role": "user", "content": "again"},
    {"role": "assistant", "content": "get nodes"},
]


def trained(example: dict[str, Any], template: ChatTemplate = CHATML, assistant_only: bool | None = None) -> list[str]:
    rendered = render(example, template, "</s>", assistant_only)
    assert "".join(piece.text for piece in rendered.pieces()) == rendered.text
    return [piece.text for piece in rendered.pieces() if piece.trained]


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ({"messages": TURNS}, ["get pods</>\n", "get nodes</>\n"]),
        ({"messages": TURNS[:4]}, ["get pods</>\n"]),
        ({"prompt": TURNS[:4], "completion": TURNS[4:]}, ["get nodes</>\n"]),
        ({"prompt": TURNS[:2], "completion": TURNS[2:]}, ["get pods</>\n", "get nodes</>\n"]),
        ({"prompt": "1+1=", "completion": "2", "label": False}, ["2</s>"]),
        ({"prompt": "1+1=", "completion": "2</s>"}, ["2</s>"]),
        ({"text": "all of it"}, ["all of it</s>"]),
    ],
)
def test_answers_carry_loss_with_their_end(example: dict[str, Any], expected: list[str]) -> None:
    assert trained(example) == expected


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ({"messages": TURNS[1:3]}, "<user>Häuser?</>\n<assistant>get pods</>\n"),
        ({"prompt": "1+1=", "completion": "2"}, "1+1=2</s>"),
    ],
)
def test_everything_carries_loss_when_asked_for(example: dict[str, Any], expected: str) -> None:
    assert trained(example, assistant_only=False) == [expected]


def test_plain_text_has_no_assistant() -> None:
    with pytest.raises(SettingError) as caught:
        render({"text": "x"}, CHATML, "</s>", assistant_only=True)
    assert caught.value.field == "spec.hyperparameters.assistantOnlyLoss"
    assert caught.value.hint


def test_template_that_rewrites_earlier_turns_teaches_the_last_answer() -> None:
    rendered = render({"messages": TURNS}, FORGETFUL, "</s>", None)
    assert rendered.is_last_turn_only
    assert [piece.text for piece in rendered.pieces() if piece.trained] == ["get nodes|"]
    assert not render({"messages": TURNS}, CHATML, "</s>", None).is_last_turn_only


def test_only_templates_write_their_own_special_tokens() -> None:
    assert render({"messages": TURNS}, CHATML, "</s>", None).is_template
    assert not render({"text": "a"}, CHATML, "</s>", None).is_template
    assert not render({"prompt": "a", "completion": "b"}, CHATML, "</s>", None).is_template


def test_pieces_show_the_mask() -> None:
    assert render({"messages": TURNS[1:4]}, CHATML, "</s>", None).pieces() == [
        Piece("<user>Häuser?</>\n<assistant>", trained=False),
        Piece("get pods</>\n", trained=True),
        Piece("<user>again</>\n", trained=False),
    ]


def test_tools_reach_the_template() -> None:
    template = ChatTemplate("{{ tools | tojson }}{{ messages[-1].content }}")
    assert render({"messages": TURNS[1:3], "tools": '[{"name": "x"}]'}, template, "", False).text.startswith('[{"name"')


def test_preference_has_one_prompt_and_two_endings() -> None:
    example = {"prompt": TURNS[:2], "chosen": TURNS[2:3], "rejected": TURNS[4:]}
    rendered = render_answers(example, {"chosen": CHATML, "rejected": CHATML}, "</s>")
    assert rendered.prompt == "<system>Be brief.</>\n<user>Häuser?</>\n<assistant>"
    assert rendered.answers == ("get pods</>\n", "get nodes</>\n")
    assert rendered.is_template


def test_plain_preference_ends_with_the_end_token() -> None:
    rendered = render_answers(
        {"prompt": "a", "chosen": "b", "rejected": "c</s>"}, {"chosen": CHATML, "rejected": CHATML}, "</s>"
    )
    assert (rendered.prompt, *rendered.answers) == ("a", "b</s>", "c</s>")
    assert not rendered.is_template


def test_preference_of_a_custom_template_writes_both_answers_in_their_own_way() -> None:
    pieces = {"promptTemplate": "{prompt}\n", "chosenTemplate": "+{chosen}", "rejectedTemplate": "-{rejected}"}
    spec = TemplateSpec.model_validate({"name": "custom", "custom": pieces})
    good, bad = (ChatTemplate(template_text(spec, answer) or "") for answer in ("chosen", "rejected"))  # type: ignore[arg-type]
    example = {"prompt": TURNS[1:2], "chosen": TURNS[2:3], "rejected": TURNS[4:]}
    rendered = render_answers(example, {"chosen": good, "rejected": bad}, "</s>")
    assert (rendered.prompt, *rendered.answers) == ("Häuser?\n", "+get pods", "-get nodes")
