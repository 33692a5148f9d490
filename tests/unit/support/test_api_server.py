from pathlib import Path

import pytest

from tests.support.api_server import api_server


@pytest.mark.parametrize("context", ["production", "fettle-test-2", ""])
def test_a_context_that_is_not_for_tests_is_refused(
    context: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(f"current-context: '{context}'\ncontexts: [{{name: fettle-test}}]\n")
    monkeypatch.setenv("FETTLE_TEST_KUBECONFIG", str(kubeconfig))
    with pytest.raises(ValueError, match="fettle-test"), api_server(tmp_path):
        pass


def test_the_context_of_test_clusters_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("current-context: fettle-test\n")
    monkeypatch.setenv("FETTLE_TEST_KUBECONFIG", str(kubeconfig))
    with api_server(tmp_path) as used:
        assert used == kubeconfig
