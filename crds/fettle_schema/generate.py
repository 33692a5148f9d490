"""`python -m fettle_schema.generate [--check] [ROOT]`: writes what the schema decides, or proves that it is current."""

import argparse
import re
import sys
from pathlib import Path

from fettle_schema.crd import ADAPTER, DEFINITIONS, TRAINING_JOB
from fettle_schema.documents import failure_sections, failure_table, field_table, reason_table, rule_table
from fettle_schema.manifests import dump_manifest

_HEADER = "# Generated from crds/fettle_schema by `make generate`; do not edit.\n"


def generated_files(root: Path) -> dict[Path, str]:
    """Path → content of every generated file."""
    files: dict[Path, str] = {}
    for definition in DEFINITIONS:
        text = _HEADER + dump_manifest(definition.manifest())
        files[root / "crds" / f"{definition.plural}.yaml"] = text
        files[root / "charts/fettle/templates/crds" / f"{definition.plural}.yaml"] = _chart_template(text)
    for name, sections in (("crds/README.md", _reference()), ("docs/troubleshooting.md", _troubleshooting())):
        files[root / name] = _with_sections(name, (root / name).read_text(), sections)
    return files


def _chart_template(text: str) -> str:
    """The CRD as a template of the chart: left out, or kept on uninstall, by its values."""
    keep = "  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n"
    escaped = text.replace("{{", '{{ "{{" }}').replace("\nmetadata:\n", f"\nmetadata:\n{keep}", 1)
    return f"{{{{- if .Values.crds.enabled }}}}\n{escaped}{{{{- end }}}}\n"


def _reference() -> dict[str, str]:
    return {
        "reasons": reason_table(),
        "failures": failure_table(),
        "trainingjob-spec": field_table(TRAINING_JOB, "spec"),
        "trainingjob-status": field_table(TRAINING_JOB, "status"),
        "trainingjob-rules": rule_table(TRAINING_JOB.rules),
        "adapter-spec": field_table(ADAPTER, "spec"),
        "adapter-status": field_table(ADAPTER, "status"),
        "adapter-rules": rule_table(ADAPTER.rules),
    }


def _troubleshooting() -> dict[str, str]:
    return {"failures": f"\n{failure_sections()}\n", "reasons": reason_table()}


def _with_sections(document: str, text: str, sections: dict[str, str]) -> str:
    for name, section in sections.items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        text, count = pattern.subn(lambda _found, b=begin, s=section, e=end: f"{b}\n{s}\n{e}", text)  # type: ignore[misc]
        if count != 1:
            raise SystemExit(f"{document}: expected one section {begin}")
    return text


def main() -> None:
    """Write the files, or with --check exit 1 and name those that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd())
    arguments = parser.parse_args()
    stale = []
    for path, content in generated_files(arguments.root).items():
        if path.exists() and path.read_text() == content:
            continue
        stale.append(str(path.relative_to(arguments.root)))
        if not arguments.check:
            path.write_text(content)
    if stale and arguments.check:
        sys.exit(f"out of date, run `make generate`: {', '.join(stale)}")
    print("generated:", ", ".join(stale) or "nothing to do")


if __name__ == "__main__":
    main()
