"""A benchmark of the tiny model: as a process once, and in this process where only the numbers are of interest."""

import json
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.run import ProgressEvent, RunConfig, RunResult
from fettle_trainer.benchmark.report import SCORES
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.job_files import job_files
from fettle_trainer.progress import ProgressLog
from fettle_trainer.stopping import StopFlag, StopRequested
from fettle_trainer.training_run import Run
from tests.support.runs import RunFiles, finish_run, run_config, write_run
from tests.support.tiny_model import spoil_weights, write_rows

DIRECTORY = "jobs/scores-5c0de5c0"


@pytest.fixture(scope="module")
def process(uninterrupted: RunFiles, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A finished benchmark of the adapter that `uninterrupted` trained on the same dataset; read only."""
    files = write_run(uninterrupted.workspace, benchmark_config(start=adapter_of(uninterrupted)))
    assert finish_run(files) == 0, files.log()
    return files


def test_training_on_the_references_raises_helpfulness(process: RunFiles) -> None:
    report = report_of(process)

    assert report["scores"]["helpfulness"]["value"] > report["baseScores"]["helpfulness"]["value"]
    assert report["scores"]["parts"]["likelihoodGain"] > report["baseScores"]["parts"]["likelihoodGain"] == 0.5
    assert report["differences"]["helpfulness"]["low"] > 0


def test_result_points_to_the_report(process: RunFiles) -> None:
    result, report = RunResult.model_validate(process.result()), report_of(process)

    assert result.output is not None
    assert (result.output.kind, result.output.path) == ("report", DIRECTORY)
    assert result.metrics["n"] == report["n"] == 6
    assert result.metrics["trainedDigest"] == report["trained"]["digest"]
    assert {result.metrics[name] for name in SCORES} == {report["scores"][name]["value"] for name in SCORES}
    assert process.termination() == process.result()
    assert all(0.0 <= report[part][name]["value"] <= 1.0 for part in ("scores", "baseScores") for name in SCORES)


def test_report_holds_no_text_and_no_path_of_the_machine(process: RunFiles) -> None:
    text = (process.directory / "benchmark.json").read_text()

    assert "kubectl" not in text
    assert str(process.workspace) not in text


def test_progress_reaches_its_total(process: RunFiles) -> None:
    events = [ProgressEvent.model_validate(event) for event in process.events()]

    steps = [event.step for event in events if event.kind == "step"]
    assert steps == sorted(set(steps))  # type: ignore[type-var]
    assert steps[-1] == events[-1].step == next(event.total_steps for event in events if event.total_steps)
    stages = dict.fromkeys(str(event.stage) for event in events if event.kind == "stage")
    assert list(stages) == ["loading_dataset", "loading_model", "evaluating", "saving"]


def test_the_same_benchmark_again_gives_the_same_bytes(process: RunFiles) -> None:
    before = (process.directory / "benchmark.json").read_bytes()

    result = benchmark(process.workspace, start=process_start(process), directory="jobs/again-5c0de5c0")

    assert (process.workspace / "jobs/again-5c0de5c0/benchmark.json").read_bytes() == before
    assert result.metrics["helpfulness"] == process.result()["metrics"]["helpfulness"]


def test_batch_size_changes_nothing(process: RunFiles) -> None:
    settings = {"maxSteps": 6, "batchSize": 1}
    benchmark(process.workspace, start=process_start(process), directory="jobs/one-5c0de5c0", hyperparameters=settings)

    found, expected = report_at(process.workspace / "jobs/one-5c0de5c0"), report_of(process)
    assert (found.pop("batchSize"), expected.pop("batchSize")) == (1, 8)
    assert_close(found, expected)


def test_a_checkpoint_of_a_job_is_scored_as_its_adapter(process: RunFiles, uninterrupted: RunFiles) -> None:
    start = {"jobDirectory": uninterrupted.workspace.joinpath("jobs").name + "/" + uninterrupted.directory.name}
    benchmark(process.workspace, start=start, directory="jobs/checkpoint-5c0de5c0")

    report = report_at(process.workspace / "jobs/checkpoint-5c0de5c0")
    assert report["trained"]["path"].endswith("/checkpoint-8")
    assert report["scores"] == report_of(process)["scores"]


def test_an_adapter_that_changes_nothing_has_the_scores_of_the_base(workspace: Path) -> None:
    build_zero_adapter(workspace)
    run = prepared_run(workspace, benchmark_config(start={"adapterPath": "adapters/zero"}))
    run_method(run)

    report = report_at(workspace / DIRECTORY)
    assert report["scores"] == report["baseScores"]
    assert report["scores"]["helpfulness"]["value"] > 0
    assert all(report["differences"][name]["value"] == 0 for name in SCORES)
    (warning,) = run.progress.warnings
    assert warning.startswith("adapters/zero was trained on '")


def test_base_model_alone_on_plain_text_has_no_helpfulness(workspace: Path) -> None:
    rows: list[dict[str, object]] = [{"text": f"pod {number} is ready and é日本 too"} for number in range(3)]
    write_rows(workspace / "datasets" / "text.jsonl", rows)
    result = benchmark(workspace, dataset={"source": {"workspace": {"path": "datasets/text.jsonl"}}})

    report = report_at(workspace / DIRECTORY)
    assert report["trained"] is None
    assert report["scores"]["helpfulness"] is None
    assert report["scores"]["coherence"]["n"] == report["n"] == 3
    assert "helpfulness" not in result.metrics


def test_held_out_examples_are_scored_where_there_are_some(workspace: Path) -> None:
    dataset = {"source": {"workspace": {"path": "datasets/train.jsonl"}}, "evaluation": {"fraction": 0.125}}
    benchmark(workspace, dataset=dataset)

    report = report_at(workspace / DIRECTORY)
    assert report["dataset"]["part"] == "evaluation"
    assert report["n"] == 3


def test_it_stops_when_asked_to(workspace: Path) -> None:
    run = prepared_run(workspace, benchmark_config())
    run.stop.is_requested = True

    with pytest.raises(StopRequested):
        run_method(run)
    assert not (workspace / DIRECTORY / "benchmark.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": {"adapterPath": "adapters/missing"}}, "holds no adapter"),
        ({"start": {"adapterPath": "adapters/../models/tiny"}}, "holds no adapter"),
        ({"start": {"adapterPath": "adapters/foreign"}}, "does not fit the base model"),
        ({"start": {"jobDirectory": "jobs/none"}}, "no complete checkpoint"),
        ({"topology": {"processesPerNode": 2}}, "one process"),
        ({"hyperparameters": {"maxLength": 16}}, "leaves room"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(workspace: Path, changes: dict[str, Any], message: str) -> None:
    build_zero_adapter(workspace, name="foreign", rank_of_file=2)

    with pytest.raises(TrainerFailure, match=message) as caught:
        benchmark(workspace, **changes)
    assert caught.value.hint


def test_weights_that_are_not_finite_end_the_run_with_71(workspace: Path) -> None:
    spoil_weights(workspace / "models" / "tiny")

    with pytest.raises(TrainerFailure, match="not finite") as caught:
        benchmark(workspace)
    assert caught.value.exit_code == 71


def benchmark_config(**changes: Any) -> dict[str, Any]:
    given = {"maxSteps": 6, "batchSize": 8, **changes.pop("hyperparameters", {})}
    return run_config(**{"method": "benchmark", "directory": DIRECTORY, "hyperparameters": given, **changes})


def adapter_of(files: RunFiles) -> dict[str, str]:
    return {"adapterPath": files.result()["output"]["path"]}


def process_start(files: RunFiles) -> dict[str, str]:
    config = json.loads(files.run_file.read_text())
    return {"adapterPath": config["start"]["adapterPath"]}


def prepared_run(workspace: Path, config: dict[str, Any]) -> Run:
    parsed = RunConfig.model_validate(config)
    files = job_files(workspace, parsed.directory, parsed.job.attempt)
    files.attempt_directory.mkdir(parents=True, exist_ok=True)
    return Run(parsed, files, ProgressLog(files.metrics, 1), StopFlag())


def benchmark(workspace: Path, **changes: Any) -> RunResult:
    """Run the method in this process."""
    return run_method(prepared_run(workspace, benchmark_config(**changes)))


def run_method(run: Run) -> RunResult:
    from fettle_trainer.methods.benchmark import run as benchmark_run

    return benchmark_run(run)


def report_of(files: RunFiles) -> dict[str, Any]:
    return report_at(files.directory)


def report_at(directory: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((directory / "benchmark.json").read_text())
    return report


def assert_close(found: Any, expected: Any) -> None:
    """Equal up to 1e-6, in whatever they hold; the reports are rounded to that, so the last digit may differ."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    else:
        assert found == (pytest.approx(expected, abs=1.001e-6) if isinstance(expected, float) else expected)


def build_zero_adapter(workspace: Path, name: str = "zero", rank_of_file: int | None = None) -> None:
    """A LoRA adapter as it is before training: its second factor is zero. Another rank in its file spoils it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    directory = workspace / "adapters" / name
    model = AutoModelForCausalLM.from_pretrained(workspace / "models" / "tiny")
    get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"])).save_pretrained(directory)
    if rank_of_file is not None:
        path = directory / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "r": rank_of_file}))
