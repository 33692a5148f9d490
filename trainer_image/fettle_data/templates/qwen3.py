"""`qwen3`: ChatML with `<think>` before an answer, equal to Qwen3's own template for the last turn.

Thinking is on unless the template says otherwise: the key `reasoning_content` of an assistant's message stands
between `<think>` and `</think>`. With thinking off the prompt ends with an empty block, and reasoning is not written.
Qwen3's own template takes the thoughts out of earlier turns; here every turn keeps them, so that every answer of a
conversation can carry loss. Tools are described in the system message, and a tool's message is wrapped into
`<tool_response>` in a turn of the user. A system message that is not the first, and any order of roles, is written
as it comes.
"""

from fettle_data.templates.template import Template

_TEXT = r"""
{%- set thinking = enable_thinking if enable_thinking is defined else THINKING %}
{%- if tools %}
    {{- '<|im_start|>system\n' + (messages[0].content + '\n\n' if messages[0].role == 'system' else '') }}
    {{- '# Tools\n\nYou may call one or more functions to assist with the user query.\n\n' }}
    {{- 'You are provided with function signatures within <tools></tools> XML tags:\n<tools>' }}
    {%- for tool in tools %}
        {{- '\n' + tool | tojson }}
    {%- endfor %}
    {{- '\n</tools>\n\nFor each function call, return a json object with function name and arguments within ' }}
    {{- '<tool_call></tool_call> XML tags:\n<tool_call>\n' }}
    {{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- set reasoning = message.reasoning_content if message.reasoning_content is string else '' %}
        {%- if not reasoning and '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n<think>\n' + (reasoning.strip('\n') if thinking else '') + '\n</think>\n\n' }}
        {{- content.lstrip('\n') }}
        {%- for tool_call in message.tool_calls or [] %}
            {%- set call = tool_call.function or tool_call %}
            {{- '\n' if content or not loop.first else '' }}
            {{- '<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user' if loop.first or loop.previtem.role != 'tool' else '' }}
        {{- '\n<tool_response>\n' + content + '\n</tool_response>' }}
        {{- '<|im_end|>\n' if loop.last or loop.nextitem.role != 'tool' else '' }}
    {%- elif not (tools and loop.first and message.role == 'system') %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' + ('' if thinking else '<think>\n\n</think>\n\n') }}
{%- endif %}
""".strip()


def template(*, thinking: bool) -> Template:
    """`thinking` is what the text does unless it is rendered with `enable_thinking`."""
    return Template(
        text=_TEXT.replace("THINKING", "true" if thinking else "false"),
        special_tokens=("<|im_start|>", "<|im_end|>"),
        end_of_turn="<|im_end|>",
    )
