"""Formats of datasets: one file each. A format turns a row into one example in TRL's shape, or refuses it.

A new format is a new file and a line in `FORMATS`; a method that trains on it gets it in `METHOD_FORMATS`.
"""

from collections.abc import Collection

from fettle_data.formats import alpaca, messages, preference, prompt_completion, sharegpt, text, unpaired_preference
from fettle_data.formats.format import Format
from fettle_schema.dataset import DatasetFormat
from fettle_schema.training_job import Method

FORMATS: dict[DatasetFormat, Format] = {
    one.name: one
    for one in (
        messages.FORMAT,
        preference.FORMAT,
        unpaired_preference.FORMAT,
        prompt_completion.FORMAT,
        alpaca.FORMAT,
        sharegpt.FORMAT,
        text.FORMAT,
    )
}
"""In the order of detection."""

_ANSWERS = frozenset(
    {
        DatasetFormat.MESSAGES,
        DatasetFormat.PROMPT_COMPLETION,
        DatasetFormat.ALPACA,
        DatasetFormat.SHAREGPT,
        DatasetFormat.TEXT,
    }
)
_PREFERENCES = frozenset({DatasetFormat.PREFERENCE})

METHOD_FORMATS: dict[Method, frozenset[DatasetFormat]] = {
    Method.SFT: _ANSWERS,
    Method.DPO: _PREFERENCES,
    Method.ORPO: _PREFERENCES,
    Method.SIMPO: _PREFERENCES,
    Method.CPO: _PREFERENCES,
    Method.IPO: _PREFERENCES,
    Method.KTO: frozenset({DatasetFormat.UNPAIRED_PREFERENCE, DatasetFormat.PREFERENCE}),
    Method.MERGE: frozenset(),
    Method.BENCHMARK: _ANSWERS | _PREFERENCES,
}
"""What each method can use."""

KNOWN_COLUMNS = frozenset(column for one in FORMATS.values() for column in (*one.required, *one.optional))
"""Every name that some format expects."""


def detect(columns: Collection[str]) -> list[Format]:
    """The formats that rows with these columns (renamed, none of them null) can be of, best first.

    A format whose columns are part of another one's that fits too is left out: rows with prompt, completion and
    label are not taken for prompt-completion, or answers that are labelled bad would be learned.
    """
    fitting = [one for one in FORMATS.values() if set(one.required) <= set(columns)]
    return [one for one in fitting if not any(set(one.required) < set(other.required) for other in fitting)]
