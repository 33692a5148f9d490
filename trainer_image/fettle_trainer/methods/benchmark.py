"""Scores of a base model and of what was trained on it: data, models, answers and likelihoods, report.

Nothing is trained, and nothing published but `benchmark.json` in the job's directory; docs/scores.md has the formulae.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fettle_data.prepare import PreparedDataset
from fettle_schema.defaults import DEFAULT_MAX_LENGTH
from fettle_schema.run import RunResult
from fettle_schema.status import OutputStatus
from fettle_schema.vocabulary import ExitCode, Stage
from fettle_trainer.atomic_file import write_json
from fettle_trainer.benchmark.compared_models import ComparedModels, Trained, find_trained, load_models
from fettle_trainer.benchmark.encoded_questions import EncodedQuestion, answer_limit, encode_questions, with_room
from fettle_trainer.benchmark.paraphrases import RULES
from fettle_trainer.benchmark.questions import DEFAULT_PROMPTS, choose_questions, prompts_digest
from fettle_trainer.benchmark.report import Benchmark, build_report, flat_metrics
from fettle_trainer.checkpoints import digest_of
from fettle_trainer.devices import Precision, choose_precision, peak_memory_bytes, require_device
from fettle_trainer.examples import load_template_tokenizer, prepare_examples
from fettle_trainer.failures import TrainerFailure, configuration_failure
from fettle_trainer.models import BaseModel, loaded_bytes, resolve_base_model
from fettle_trainer.progress import loading
from fettle_trainer.stopping import StopRequested
from fettle_trainer.training import import_libraries
from fettle_trainer.training_run import Run

REPORT_FILE = "benchmark.json"


@dataclass(frozen=True)
class _Parts:
    """What is scored, and on what."""

    dataset: PreparedDataset
    base: BaseModel
    trained: Trained | None
    precision: Precision
    tokenizer: Any
    models: ComparedModels
    questions: list[EncodedQuestion]
    new_tokens: int
    """Longest answer."""


def run(run: Run) -> RunResult:
    """Score and report. Raises what ends the run otherwise; see `diagnosis`. An interrupted one starts again."""
    topology = run.config.topology
    if topology.nodes * topology.processes_per_node > 1:
        raise configuration_failure(
            "spec.resources", "a benchmark runs in one process", "Set nodes: 1 and gpusPerNode: 1, or 0 for the CPU."
        )
    parts = _load(run)
    run.stop.begin_training()
    begin = time.monotonic()
    benchmark = _measure(run, parts)
    seconds = time.monotonic() - begin

    run.progress.enter(Stage.SAVING)
    report = build_report(benchmark, _conditions(run, parts))
    path = run.files.directory / REPORT_FILE
    write_json(path, report)
    metrics = flat_metrics(report)
    print("  ".join(f"{name} {value:.3f}" for name, value in metrics.items() if isinstance(value, float)), flush=True)
    return RunResult(
        exit_code=int(ExitCode.DONE),
        step=run.step,
        output=OutputStatus(
            kind="report", path=run.files.inside(run.files.directory), digest=f"sha256:{digest_of(path)}"
        ),
        size_bytes=path.stat().st_size,
        base_model_revision=parts.base.revision,
        dataset_digest=parts.dataset.digest,
        metrics={
            **metrics,
            "benchmarkSeconds": round(seconds, 2),
            "peakMemoryBytes": peak_memory_bytes(uses_gpu=topology.uses_gpu),
        },
    )


def _load(run: Run) -> _Parts:
    config, progress, uses_gpu = run.config, run.progress, run.config.topology.uses_gpu
    settings = config.hyperparameters
    progress.enter(Stage.LOADING_DATASET)
    dataset = prepare_examples(run)

    progress.enter(Stage.LOADING_MODEL)
    trained = find_trained(run)
    base = resolve_base_model(config.base_model, run.files.workspace)
    import_libraries(run)
    require_device(uses_gpu=uses_gpu)
    with loading(progress, loaded_bytes):
        tokenizer = load_template_tokenizer(run, base)
        questions, new_tokens = _questions(run, dataset, tokenizer)
        # In bf16, scores would depend on the CPU and on the batch; those of two machines are to be compared.
        requested = "fp32" if settings.precision == "auto" and not uses_gpu else settings.precision
        precision = choose_precision(requested, uses_gpu=uses_gpu)
        models = load_models(run, base, trained, precision)
    return _Parts(dataset, base, trained, precision, tokenizer, models, questions, new_tokens)


def _questions(run: Run, dataset: PreparedDataset, tokenizer: Any) -> tuple[list[EncodedQuestion], int]:
    """The questions, from held-out examples if some are held out, and how many tokens an answer may have."""
    settings = run.config.hyperparameters
    max_length = settings.max_length or DEFAULT_MAX_LENGTH
    examples: Sequence[Any] = dataset.evaluation or dataset.train
    wanted = min(settings.max_steps or DEFAULT_PROMPTS, len(examples))
    encoded = encode_questions(choose_questions(examples, wanted, settings.seed), tokenizer, max_length)
    new_tokens = answer_limit(encoded, max_length)
    questions = with_room(encoded, max_length, new_tokens)
    if not questions:
        raise TrainerFailure(
            ExitCode.DATASET,
            f"no example has a prompt that leaves room for an answer within maxLength ({max_length} tokens)",
            "Raise spec.hyperparameters.maxLength or shorten the examples; each needs a prompt.",
        )
    if len(questions) < wanted:
        left_out = wanted - len(questions)
        run.progress.warn(f"{left_out} of {wanted} examples are left out: no prompt, or too long for maxLength")
    return questions, new_tokens


def _measure(run: Run, parts: _Parts) -> Benchmark:
    from fettle_trainer.benchmark.measuring import Conditions, measure, work_of

    settings = run.config.hyperparameters
    total = work_of(parts.questions, model_count=1 if parts.trained is None else 2)
    run.progress.enter(Stage.EVALUATING, step=0, total_steps=total)

    def tick() -> None:
        if run.stop.is_requested:
            raise StopRequested

    def advance(count: int) -> None:
        run.step += count
        run.progress.write(kind="step", step=run.step, total_steps=total)
        tick()

    conditions = Conditions(settings.seed, parts.new_tokens, _batch_size(run), advance, tick)
    base, trained = measure(parts.models, parts.tokenizer, parts.questions, conditions)
    asked = [one.question for one in parts.questions]
    return Benchmark([question.key for question in asked], base, trained, settings.seed, prompts_digest(asked))


def _conditions(run: Run, parts: _Parts) -> dict[str, Any]:
    """What was scored and how, for the report."""
    from fettle_trainer.benchmark.answers import TEMPERATURE, TOP_K
    from fettle_trainer.benchmark.measuring import SAMPLES

    trained = parts.trained
    return {
        "baseModel": {"name": parts.base.name, "revision": parts.base.revision},
        "trained": None
        if trained is None
        else {"kind": "adapter" if trained.is_adapter else "model", "path": trained.path, "digest": trained.digest},
        "dataset": {
            "digest": parts.dataset.digest,
            "format": parts.dataset.format,
            "part": "evaluation" if parts.dataset.evaluation else "train",
        },
        "sampling": {
            "samples": SAMPLES,
            "paraphrases": list(RULES),
            "temperature": TEMPERATURE,
            "topK": TOP_K,
            "maxNewTokens": parts.new_tokens,
        },
        "precision": parts.precision,
        "batchSize": _batch_size(run),
    }


def _batch_size(run: Run) -> int:
    settings = run.config.hyperparameters
    return settings.eval_batch_size or settings.batch_size
