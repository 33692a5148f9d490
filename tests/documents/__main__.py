"""`python -m tests.documents DIRECTORY`: check every published document there; exit code 1 if anything differs."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.documents import calls
from tests.documents.checks import ainode, cluster, merlina, milady, qlora
from tests.documents.document import Document
from tests.documents.machine import MachineError
from tests.documents.report import Report, summary
from tests.documents.samples import DocumentError, samples_of
from tests.documents.start import OLLAMA_PORT, PORTS, build_model, check_ports, running_machine
from tests.support.engine_stand_in import engine_stand_in
from tests.support.ollama_stand_in import ollama_stand_in

CHECKS = {"ainode": ainode, "cluster": cluster, "milady": milady, "qlora": qlora, "merlina": merlina}


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 2 where the check cannot be run."""
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    try:
        texts = {name: (options.documents / f"{name}.md").read_text() for name in options.only or CHECKS}
        check_ports()
        calls.node()
        reports = asyncio.run(_check(texts))
    except (MachineError, DocumentError, OSError) as error:
        print(f"tests.documents: {error}", file=sys.stderr)
        return 2
    words, is_well = summary(reports)
    print(f"{words} ({time.monotonic() - began:.0f} s)")
    return 0 if is_well else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.documents", description=__doc__)
    parser.add_argument("documents", type=Path, help="folder of ainode.md, cluster.md, milady.md, qlora.md, merlina.md")
    parser.add_argument("--only", action="append", choices=sorted(PORTS), help="check this document; may be repeated")
    return parser


async def _check(texts: dict[str, str]) -> list[Report]:
    reports = []
    with tempfile.TemporaryDirectory(prefix="fettle-documents-") as directory:
        scratch = Path(directory)
        model = await build_model(scratch / "tiny")
        async with engine_stand_in() as engine, ollama_stand_in(OLLAMA_PORT) as ollama:
            ollama.add_base("llama3.2:3b", "llama")
            for name, text in texts.items():
                table, samples = CHECKS[name], samples_of(f"{name}.md", text)
                report = Report(samples)
                reports.append(report)
                async with running_machine(scratch / name, model, engine, table.MODELS, table.DATASETS) as machine:
                    document = Document(samples, report, machine, table.BASE_URL)
                    await document.run(table.CHECKS)
                    await document.finish_background()
                    await document.run([Document.finish_jobs])
                _print(name, report)
    return reports


def _print(name: str, report: Report) -> None:
    lines: Iterable[str] = (line for result in report.results() for line in result.lines())
    print(*lines, *(f"{name}.md: {failure}" for failure in report.failures), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
