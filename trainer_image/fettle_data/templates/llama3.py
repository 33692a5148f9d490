"""`llama3`: a header with the role, the content without surrounding white space, `<|eot_id|>`.

Equal to the template of Meta-Llama-3-Instruct. Roles may come in any order, the system message wherever it stands; a
tool's message has the role `ipython`, as in Llama 3.1. Tools that are offered and reasoning are not written.
"""

from fettle_data.templates.template import Template

TEMPLATE = Template(
    text=r"""
{{- bos_token }}
{%- for message in messages %}
    {%- set role = 'ipython' if message['role'] == 'tool' else message['role'] %}
    {{- '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
""".strip(),
    special_tokens=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    end_of_turn="<|eot_id|>",
)
