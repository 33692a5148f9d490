"""`mistral`: `[INST] system, blank line, prompt [/INST] answer` and the end token, as Mistral-7B-Instruct has it.

There is no turn of the system: its message goes into the first turn of the user. After it, user and assistant take
turns; any other order, and a tool's message, is refused. The end token is the tokenizer's own, which is `</s>` for
Mistral's models. Tools that are offered and reasoning are not written.
"""

from fettle_data.templates.template import Template

TEMPLATE = Template(
    text=r"""
{{- bos_token }}
{%- set turns = messages[1:] if messages[0]['role'] == 'system' else messages %}
{%- for message in turns %}
    {%- if message['role'] != ('assistant' if loop.index0 % 2 else 'user') %}
        {{- raise_exception("the template 'mistral' has turns of user and assistant, one after the other, and one "
            + "system message before them; this is a message of the role '" + message['role'] + "' out of turn") }}
    {%- endif %}
    {%- if message['role'] == 'assistant' %}
        {{- ' ' + message['content'] + (eos_token or '') }}
    {%- elif loop.first and messages[0]['role'] == 'system' %}
        {{- '[INST] ' + messages[0]['content'] + '\n\n' + message['content'] + ' [/INST]' }}
    {%- else %}
        {{- '[INST] ' + message['content'] + ' [/INST]' }}
    {%- endif %}
{%- endfor %}
""".strip(),
    special_tokens=(),
    end_of_turn=None,
)
