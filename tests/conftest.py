"""Which tests this machine cannot run, and why: they are left out by name, never silently, and never in CI."""

import os
from pathlib import Path

import pytest

from tests.cluster import machine

ROOT = Path(__file__).parent
MARKER_OF_FOLDER = {"trainer": "trainer", "e2e": "node", "integration": "cluster"}
"""What all tests of a folder need. Collecting such a folder already imports it: the Makefile leaves out those that a
lane does not run."""
LEFT_OUT = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--summary", metavar="FILE", help="add a summary of the run to a Markdown file")


def pytest_itemcollected(item: pytest.Item) -> None:
    marker = MARKER_OF_FOLDER.get(item.path.relative_to(ROOT).parts[0])
    if marker is not None:
        item.add_marker(marker)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons: dict[str, list[str]] = {}
    checks = {"cluster": machine.missing_for_control_plane, "node": lambda: missing_for_end_to_end()}
    for marker, check in checks.items():
        selected = [item for item in items if item.get_closest_marker(marker)]
        missing = check() if selected and not os.environ.get("FETTLE_TEST_KUBECONFIG") else []
        if missing:
            reasons[f"{len(selected)} tests marked {marker}"] = missing
            items[:] = [item for item in items if item not in selected]
            config.hook.pytest_deselected(items=selected)
    config.stash[LEFT_OUT] = reasons


def missing_for_end_to_end() -> list[str]:
    return [*machine.missing_for_node(), *machine.missing_for_images()]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash.get(LEFT_OUT, {}) and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, why in config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.section(f"left out: {what}", yellow=True)
        for reason in why:
            terminalreporter.line(f"- {reason}")
    target = config.getoption("--summary")
    if target and not hasattr(config, "workerinput"):  # a process of pytest-xdist knows only its part
        write_summary(terminalreporter, config.option.markexpr.strip(), Path(target))


def write_summary(reporter: pytest.TerminalReporter, marks: str, target: Path) -> None:
    counts = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    slowest = sorted(
        (report for report in reporter.stats.get("passed", []) if report.when == "call"),
        key=lambda report: report.duration,
        reverse=True,
    )[:15]
    lines = [
        "",
        f"## Tests marked `{marks}`",
        "",
        ", ".join(f"{count} {name}" for name, count in counts.items()),
        "",
        "| slowest tests | seconds |",
        "|---|---|",
        *(f"| `{report.nodeid}` | {report.duration:.1f} |" for report in slowest),
        "",
    ]
    with target.open("a") as file:
        file.write("\n".join(lines))
