"""Finding the model that a person means."""

from pathlib import Path

import pytest

from capsedge.errors import ModelError, WrongUse
from capsedge.runtime import models
from capsedge.runtime.models import builtin_models, find_model, title


@pytest.fixture
def builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "builtin"
    folder.mkdir()
    (folder / "fashion-mnist.onnx").touch()
    (folder / "digits.onnx").touch()
    monkeypatch.setattr(models, "BUILTIN", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_without_a_name_it_is_the_default_model(builtin: Path) -> None:
    assert find_model() == builtin / "fashion-mnist.onnx"


def test_a_built_in_model_is_found_by_its_name(builtin: Path) -> None:
    assert find_model("digits") == builtin / "digits.onnx"
    assert list(builtin_models()) == ["digits", "fashion-mnist"]
    assert title(find_model("digits")) == "digits (built in)"


def test_a_path_is_taken_as_it_is(builtin: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").touch()

    assert find_model("mine.onnx") == Path("mine.onnx")
    assert find_model(tmp_path) == tmp_path
    assert title(Path("mine.onnx")) == "mine.onnx"


def test_a_name_wins_over_a_folder_of_that_name(builtin: Path, tmp_path: Path) -> None:
    (tmp_path / "fashion-mnist").mkdir()

    assert find_model("fashion-mnist") == builtin / "fashion-mnist.onnx"
    assert find_model("./fashion-mnist") == Path("fashion-mnist")


def test_an_unknown_name_is_wrong_use_that_names_the_nearest(builtin: Path) -> None:
    with pytest.raises(WrongUse, match=r"no built-in model 'fashion-mnits'; did you mean 'fashion-mnist'\?"):
        find_model("fashion-mnits")


def test_a_name_near_to_nothing_lists_what_there_is(builtin: Path) -> None:
    with pytest.raises(WrongUse, match=r"no built-in model 'runs/7'; there are: digits, fashion-mnist"):
        find_model("runs/7")


def test_an_installation_without_its_model_asks_for_a_path(builtin: Path) -> None:
    (builtin / "fashion-mnist.onnx").unlink()

    with pytest.raises(ModelError, match="came without its model 'fashion-mnist': give a model's path"):
        find_model()
