"""`alpaca`: instruction, input (may be empty) and output, written as prompt and completion.

The prompts are those of Stanford Alpaca (github.com/tatsu-lab/stanford_alpaca, train.py); the newline after
`### Response:` is that of the column `text` of the published dataset.
"""

from fettle_data.formats.format import Example, Format, optional_text, required_text
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


def _convert(values: Values, ignored: set[str]) -> Example:
    instruction = required_text(values, "instruction")
    given = optional_text(values, "input")
    template = _WITH_INPUT if given.strip() else _WITHOUT_INPUT
    return {
        "prompt": template.format(instruction=instruction, input=given),
        "completion": required_text(values, "output"),
    }


FORMAT = Format(DatasetFormat.ALPACA, required=("instruction", "output"), optional=("input",), convert=_convert)
