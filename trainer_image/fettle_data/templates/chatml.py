"""`chatml`: `<|im_start|>role`, the content, `<|im_end|>`; the format of OpenAI's early models, Qwen and SmolLM.

Roles may come in any order, the system message wherever it stands; a tool's message has the role `tool`. Tools that
are offered and reasoning are not written.
"""

from fettle_data.templates.template import Template

TEMPLATE = Template(
    text=r"""
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
""".strip(),
    special_tokens=("<|im_start|>", "<|im_end|>"),
    end_of_turn="<|im_end|>",
)
