"""The examples of a run, checked, and the tokenizer that writes them as the run's template says."""

import json
from contextlib import ExitStack
from typing import Any

from fettle_data.chat_template import load_chat_template
from fettle_data.findings_file import FindingsFile
from fettle_data.prepare import PreparedDataset, prepare
from fettle_data.templates import missing_tokens, template_text
from fettle_schema.dataset import TemplateSpec
from fettle_schema.layout import ALL_FINDINGS_FILE
from fettle_trainer.atomic_file import write_json
from fettle_trainer.models import BaseModel, find_in_workspace, load_tokenizer
from fettle_trainer.training_run import Run


def prepare_examples(run: Run) -> PreparedDataset:
    """Read and check the dataset; the first process leaves counts and all findings in the job's directory."""
    config, files = run.config, run.files
    assert config.dataset is not None, "admission requires a dataset for every method but merge"
    model = find_in_workspace(config.base_model, files.workspace)
    own = load_chat_template(model) if model is not None else None
    with ExitStack() as stack:
        report = None
        if run.processes.is_first:
            report = stack.enter_context(FindingsFile(files.directory / ALL_FINDINGS_FILE)).report
        dataset = prepare(
            config.dataset,
            config.method,
            config.hyperparameters.seed,
            files.workspace,
            report,
            own_template=own.text if own is not None else None,
            scratch=files.attempt_directory,
        )
    if run.processes.is_first:
        write_json(files.findings, {**dataset.findings.to_json(), "statistics": dataset.statistics.to_json()})
    return dataset


def note_statistics(run: Run, part: str, tokens: dict[str, int | float]) -> None:
    """Add what only a tokenizer can tell to the findings of the job; `part` is training or evaluation."""
    if run.processes.is_first:
        found = json.loads(run.files.findings.read_text(encoding="utf-8"))
        found["statistics"][f"{part}_tokens"] = tokens
        write_json(run.files.findings, found)


def load_template_tokenizer(run: Run, base: BaseModel) -> Any:
    """The model's tokenizer, with the chat template of the run."""
    tokenizer = load_tokenizer(base)
    spec = template_of_run(run)
    text = template_text(spec)
    if text is not None:
        tokenizer.chat_template = text
    for finding in missing_tokens(spec, lambda token: len(tokenizer.encode(token, add_special_tokens=False))):
        run.progress.warn(str(finding))
    return tokenizer


def template_of_run(run: Run) -> TemplateSpec:
    """`spec.dataset.template`."""
    return run.config.dataset.template if run.config.dataset is not None else TemplateSpec()
