"""`alpaca`: instruction, input (may be empty) and output, written as prompt and completion.

The prompts are those of Stanford Alpaca (github.com/tatsu-lab/stanford_alpaca, train.py); the newline after
`### Response:` is that of the column `text` of the published dataset. Where a chat template is named, it takes their
place: instruction and input are a turn of the user, on lines of their own.
"""

from fettle_data.formats.conversation import Message
from fettle_data.formats.format import Conversion, Example, Format, optional_text, required_text
from fettle_data.formats.turns import TURN_COLUMNS, add_reasoning, in_turns
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat

_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)


def _convert(values: Values, conversion: Conversion) -> Example:
    instruction = required_text(values, "instruction")
    given = optional_text(values, "input")
    if conversion.wraps_texts:
        prompt = f"{instruction}\n{given}" if given.strip() else instruction
    else:
        prompt = (_WITH_INPUT if given.strip() else _WITHOUT_INPUT).format(instruction=instruction, input=given)
    example: dict[str, str | list[Message]] = {"prompt": prompt, "completion": required_text(values, "output")}
    example = in_turns(example, values, conversion)
    add_reasoning(example["completion"], values, conversion)
    return dict(example)


FORMAT = Format(
    DatasetFormat.ALPACA, required=("instruction", "output"), optional=("input", *TURN_COLUMNS), convert=_convert
)
