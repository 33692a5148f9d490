"""Models come from the cache into each home; the download itself is proved by `make demo`."""

from pathlib import Path

import pytest

from fettle_local.home import Home
from fettle_local.models import PACKAGED_MODELS, ModelError, fetch_model, list_models

MODEL = PACKAGED_MODELS["smollm2-135m"]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    converted = tmp_path / "cache/models" / f"{MODEL.name}-{MODEL.version}"
    converted.mkdir(parents=True)
    (converted / "config.json").write_text("{}")
    return tmp_path / "cache"


def test_homes_share_the_files_of_the_cache(tmp_path: Path, cache: Path) -> None:
    said: list[str] = []
    paths = []
    for name in ("one", "two"):
        home = Home(tmp_path / name, cache)
        home.create()
        paths.append(fetch_model(home, MODEL.name, said.append))
        assert paths[-1] == home.workspace / "models/smollm2-135m"
        assert list_models(home) == [(MODEL, True)]
    assert said == []
    assert (paths[0] / "config.json").samefile(paths[1] / "config.json")


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "cache")
    (home.workspace / MODEL.path).mkdir(parents=True)
    fetch_model(home, MODEL.name, print)
    assert list((home.workspace / "models").iterdir()) == [home.workspace / MODEL.path]


def test_an_unknown_model_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="smollm2-135m"):
        fetch_model(Home(tmp_path, tmp_path), "gpt-5", print)
