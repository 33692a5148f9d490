"""What decides the names of our images."""

import re

import pytest

from images import build


@pytest.mark.parametrize("name", build.PARTS)
def test_the_name_covers_everything_that_is_copied(name: str) -> None:
    part = build.PARTS[name]
    copied = re.findall(r"^COPY (\S+) /opt/fettle/packages/(\S+)$", build._dockerfile(part)[1], re.MULTILINE)
    assert tuple(source for source, _ in copied) == part.packages
    assert all(source.endswith(f"/{target}") for source, target in copied)


@pytest.mark.parametrize("name", build.PARTS)
def test_the_stage_of_dependencies_copies_nothing_of_ours(name: str) -> None:
    stages, last = build._dockerfile(build.PARTS[name])
    assert "COPY" not in stages
    assert last.startswith("${DEPENDENCIES}")


@pytest.mark.parametrize("name", build.PARTS)
def test_every_image_runs_as_nobody(name: str) -> None:
    assert "\nUSER 65532:65532\n" in build._dockerfile(build.PARTS[name])[1]


@pytest.mark.parametrize("name", build.PARTS)
def test_the_base_image_is_an_argument_and_packages_are_locked_and_compiled(name: str) -> None:
    text = (build.ROOT / build.PARTS[name].dockerfile).read_text()
    assert re.search(r"^ARG BASE_IMAGE=\S+:\S+$", text, re.MULTILINE), "a default that docker can pull"
    assert "\nFROM ${BASE_IMAGE} AS dependencies\n" in text
    [sync] = re.findall(r"uv sync (.*?);", text.replace("\\\n", " "), re.DOTALL)
    assert {"--frozen", "--no-dev", "--compile-bytecode", "--no-managed-python"} <= set(sync.split())
    assert re.search(r"^ARG UV_VERSION=\d+\.\d+\.\d+$", text, re.MULTILINE)


def test_a_build_argument_leaves_cuda_out_of_the_trainer() -> None:
    assert "\nARG TORCH_VARIANT=cuda\n" in (build.ROOT / build.PARTS["trainer"].dockerfile).read_text()


def test_names_change_with_what_they_are_made_of() -> None:
    assert build._digest("base", "stage") != build._digest("base", "other stage")
    assert build._digest("ab", "c") != build._digest("a", "bc")


@pytest.mark.parametrize(("name", "has_torch"), [("operator", False), ("api", False), ("trainer", True)])
def test_only_the_trainer_holds_torch(name: str, has_torch: bool) -> None:
    locked = build._locked(build.PARTS[name].extra)
    assert ("\ntorch==" in f"\n{locked}") is has_torch
    assert "--hash=sha256:" in locked
    assert "pytest" not in locked
