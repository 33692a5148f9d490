"""`fettle demo` on the real 135M model: what the README promises, in the only test that downloads a model."""

import re
from pathlib import Path

import pytest

from tests.support.local_home import fettle

pytestmark = [pytest.mark.slow, pytest.mark.trainer, pytest.mark.timeout(1800)]

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_adapter_answers_clearly_more_requests_than_the_base_model(tmp_path: Path) -> None:
    process = fettle(tmp_path / "home", "demo", "--examples", EXAMPLES)
    output, _ = process.communicate(timeout=1700)
    assert process.returncode == 0, output
    found = re.search(r"Exactly right: (\d+) of 30 before, (\d+) of 30 after", output)
    assert found, output
    before, after = map(int, found.groups())
    assert after >= before + 10
