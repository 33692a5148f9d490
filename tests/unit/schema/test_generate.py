"""Generated files are current, and a stale one is found."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fettle_schema.generate", "--check", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_generated_files_are_current() -> None:
    assert check(ROOT).returncode == 0


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    for folder in ("crds", "charts", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.py"))
    (tmp_path / "crds" / "adapters.yaml").write_text("stale")
    guide = tmp_path / "docs" / "troubleshooting.md"
    guide.write_text(guide.read_text().replace("### Stalled", "### Stuck"))
    result = check(tmp_path)
    assert result.returncode == 1
    assert "crds/adapters.yaml" in result.stderr
    assert "docs/troubleshooting.md" in result.stderr
