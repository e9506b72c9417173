"""Finding the model that a person means."""

import hashlib
import os
import shlex
import shutil
from pathlib import Path
from typing import Literal

import msgspec
import pytest

import capsedge
from capsedge.contract import Score, contract_of
from capsedge.errors import ModelError, WrongUse
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime import models
from capsedge.runtime.models import (
    Index,
    ListedModel,
    ModelFile,
    builtin_models,
    exports_in,
    find_model,
    how_to_get_zoo,
    in_precision,
    is_export,
    list_models,
    model_names,
    title,
    unexported_since,
    zoo_folder,
)
from tests.run_records import write_record
from tests.runtime.capsule_model import graph, save_with

ROOT = Path(capsedge.__file__).parents[1]


@pytest.fixture
def builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "builtin"
    folder.mkdir()
    (folder / "fashion-mnist.onnx").touch()
    (folder / "digits.onnx").touch()
    monkeypatch.setattr(models, "BUILTIN", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_without_a_name_the_newest_export_comes_before_the_default_model(
    builtin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model() == builtin / "fashion-mnist.onnx"
    files = ["old/model.onnx", "new/model.onnx", "new/model.int8.onnx", "int8/model.int8.onnx", "foreign/model.onnx"]
    for age, name in enumerate(files):
        file = tmp_path / "runs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
        if file.parent.name != "foreign":
            (file.parent / "run.json").write_bytes(b"{}")
        os.utime(file, (1000 + age, 1000 + age))
    (tmp_path / "runs/old/model.onnx.rejected").write_bytes(b"")
    (tmp_path / "runs/old/.candidate-7-model.onnx").write_bytes(b"")
    assert find_model() == Path("runs/int8/model.int8.onnx")
    assert is_export(find_model())
    assert [file.name for file in exports_in(tmp_path / "runs/new")] == ["model.onnx", "model.int8.onnx"]
    (tmp_path / "runs/int8/model.int8.onnx").unlink()
    assert find_model() == Path("runs/new/model.onnx"), "int8 is newer, and the plain file of a run comes first"
    assert find_model("builtin") == builtin / "fashion-mnist.onnx"
    assert not is_export(find_model("builtin"))


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


def test_the_name_of_the_default_model_is_told_where_that_is_here(builtin: Path) -> None:
    with pytest.raises(WrongUse, match=r"did you mean 'builtin'\?"):
        find_model("bultin")
    assert model_names("b") == ["builtin"]
    (builtin / "fashion-mnist.onnx").unlink()
    assert model_names("b") == []
    with pytest.raises(WrongUse, match=r": there are: digits$"):
        find_model("bultin")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("fashion-mnits", r"did you mean 'fashion-mnist'\?"),
        ("egde-tiny", r"did you mean 'edge-tiny'\?"),
        ("x", "there are: builtin, digits, fashion-mnist"),
    ],
)
@pytest.mark.usefixtures("zoo")
def test_an_unknown_name_is_wrong_use_that_names_the_nearest_or_all(name: str, known: str) -> None:
    with pytest.raises(WrongUse, match=f"no model '{name}': {known}"):
        find_model(name)


@pytest.mark.parametrize("path", ["runs/7", "gone.onnx", "gone.engine"])
def test_a_path_where_nothing_is_is_no_unknown_name(builtin: Path, path: str) -> None:
    with pytest.raises(ModelError, match=f"^there is no file or folder '{path}'$"):
        find_model(path)


def test_an_installation_without_its_model_asks_for_a_path(builtin: Path) -> None:
    (builtin / "fashion-mnist.onnx").unlink()

    with pytest.raises(ModelError, match="lacks the built-in model 'fashion-mnist': give a model's path"):
        find_model()


def listed_file(file: str, precision: str, content: bytes, error: float) -> ModelFile:
    digest = hashlib.sha256(content).hexdigest()
    return ModelFile(file=file, precision=precision, size_bytes=len(content), sha256=digest, test_error=error)


LISTED = (
    ListedModel(
        name="edge-tiny",
        data="Fashion-MNIST",
        test_images=10_000,
        parameters=1_000,
        macs=20_000,
        files=(
            listed_file("model.onnx", "fp32", b"in fp32", 0.07),
            listed_file("model.int8.onnx", "int8", b"in int8", 0.08),
        ),
    ),
    ListedModel(
        name="wide",
        data="Fashion-MNIST",
        test_images=10_000,
        parameters=7_000_000,
        macs=200_000_000,
        files=(listed_file("model.int8.onnx", "int8", b"wide, in int8", 0.065),),
    ),
)


@pytest.fixture
def zoo(builtin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of two models, which the installation lists."""
    (builtin / "zoo.json").write_bytes(msgspec.json.encode(Index(models=LISTED)))
    folder = tmp_path / "the zoo"
    for name, file, content in (
        ("edge-tiny", "model.onnx", b"in fp32"),
        ("edge-tiny", "model.int8.onnx", b"in int8"),
        ("wide", "model.int8.onnx", b"wide, in int8"),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / file).write_bytes(content)
    monkeypatch.setenv("CAPSEDGE_ZOO", str(folder))
    return folder


@pytest.mark.parametrize(
    ("name", "file", "named"),
    [
        ("edge-tiny", "edge-tiny/model.onnx", "edge-tiny (zoo)"),
        ("edge-tiny.fp32", "edge-tiny/model.onnx", "edge-tiny (zoo)"),
        ("edge-tiny.int8", "edge-tiny/model.int8.onnx", "edge-tiny int8 (zoo)"),
        ("wide", "wide/model.int8.onnx", "wide int8 (zoo)"),  # the only file there is
    ],
)
def test_a_model_of_the_zoo_is_found_by_its_name(zoo: Path, name: str, file: str, named: str) -> None:
    assert find_model(name) == zoo / file
    assert title(find_model(name)) == named


def test_a_zoos_model_is_found_in_another_precision(zoo: Path) -> None:
    assert in_precision(find_model("edge-tiny"), "int8") == zoo / "edge-tiny" / "model.int8.onnx"
    assert in_precision(find_model("edge-tiny.int8"), "fp32") == zoo / "edge-tiny" / "model.onnx"
    with pytest.raises(ModelError, match=r"there is no '.*wide/model\.onnx'"):
        in_precision(find_model("wide"), "fp32")


@pytest.fixture
def zoo_alone(zoo: Path, builtin: Path) -> Path:
    """The zoo, and no built-in model: those of `builtin` are empty files, which have no contract to list."""
    for file in builtin.glob("*.onnx"):
        file.unlink()
    return zoo


@pytest.mark.parametrize("file", ["model.onnx", "model.int8.onnx"])
def test_a_file_that_is_not_the_one_listed_is_refused_by_its_name(zoo_alone: Path, file: str) -> None:
    zoo = zoo_alone
    changed = zoo / "edge-tiny" / file
    changed.write_bytes(changed.read_bytes().replace(b"in", b"IN"))
    refused, other = ("edge-tiny", "int8") if file == "model.onnx" else ("edge-tiny.int8", "fp32")

    with pytest.raises(
        ModelError, match=rf"'.*{file}' is not the file that this capsedge lists, its SHA-256 differs"
    ):
        find_model(refused)
    with pytest.raises(ModelError, match="its SHA-256 differs: restore it with git"):
        in_precision(find_model(f"edge-tiny.{other}"), "fp32" if other == "int8" else "int8")
    assert [each.altered for each in list_models()] == [(file,), ()]
    assert find_model(changed) == changed  # by its path it is any file


def test_a_model_that_is_not_here_says_how_to_get_it(zoo_alone: Path) -> None:
    zoo = zoo_alone
    shutil.rmtree(zoo / "wide")

    with pytest.raises(ModelError, match=r"'wide' is not on this machine: put them into .*, or set CAPSEDGE_ZOO"):
        find_model("wide")
    assert {each.name: each.folder for each in list_models()} == {
        "edge-tiny": str(zoo / "edge-tiny"),
        "wide": None,
    }


def test_a_folder_of_a_name_that_is_not_here_is_taken(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "wide").mkdir()

    assert find_model("wide") == zoo / "wide" / "model.int8.onnx"
    shutil.rmtree(zoo / "wide")
    assert find_model("wide") == Path("wide")


def test_a_built_in_name_wins_over_one_of_the_zoo(zoo: Path, builtin: Path) -> None:
    (builtin / "edge-tiny.onnx").touch()

    assert find_model("edge-tiny") == builtin / "edge-tiny.onnx"
    assert find_model("edge-tiny.int8") == zoo / "edge-tiny" / "model.int8.onnx"


def test_the_completion_knows_what_is_here_and_leaves_paths_to_the_shell(zoo: Path) -> None:
    assert model_names() == [
        *("builtin", "digits", "fashion-mnist"),
        *("edge-tiny", "wide", "edge-tiny.fp32", "edge-tiny.int8", "wide.int8"),
    ]
    assert model_names("edge-tiny.") == ["edge-tiny.fp32", "edge-tiny.int8"]
    assert model_names("runs/") == []
    shutil.rmtree(zoo / "edge-tiny")
    assert model_names("e") == []


def test_an_installation_without_an_index_has_no_zoo(zoo: Path, builtin: Path) -> None:
    (builtin / "zoo.json").unlink()

    assert model_names() == ["builtin", "digits", "fashion-mnist"]


def test_a_damaged_index_is_told_with_the_way_out(zoo: Path, builtin: Path) -> None:
    (builtin / "zoo.json").write_text('{"schema":2,"models":[]}')

    with pytest.raises(ModelError, match=r"zoo.json' is damaged .*: install capsedge again"):
        find_model("wide")


def test_the_zoo_is_where_the_variable_says_else_in_the_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAPSEDGE_ZOO", "animals")
    monkeypatch.chdir(tmp_path)
    assert zoo_folder() == tmp_path / "animals"
    monkeypatch.setenv("CAPSEDGE_ZOO", "~nobody-of-this-name/zoo")
    assert zoo_folder() == tmp_path / "~nobody-of-this-name" / "zoo"
    monkeypatch.setenv("CAPSEDGE_ZOO", "")
    assert zoo_folder() == ROOT / "zoo"
    package = tmp_path / "site-packages" / "capsedge" / "runtime"
    monkeypatch.setattr(models, "__file__", str(package / "models.py"))
    assert zoo_folder() is None  # a folder zoo there is somebody else's package
    assert how_to_get_zoo().startswith("clone capsedge's repository")
    monkeypatch.chdir(ROOT / "docs")
    assert how_to_get_zoo() == f"export CAPSEDGE_ZOO={shlex.quote(str(ROOT / 'zoo'))}"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_built_in_model_is_listed_by_its_contract(builtin: Path, good: Path, precision: str) -> None:
    for file in builtin.iterdir():
        file.unlink()
    contract = contract_of(read_onnx_file(good), source="")
    assert contract is not None
    layers = tuple(msgspec.structs.replace(layer, type=precision) for layer in contract.layers)
    scores = (
        Score("trained", "test", 10_000, 0.07),
        Score(precision, "validation", 5_000, 0.09),
        Score(precision, "test", 10_000, 0.08),
    )
    file = builtin / "mine.onnx"
    described = msgspec.structs.replace(contract, layers=layers, scores=scores, dataset="Fashion-MNIST")
    save_with(graph(), described, file)

    (found,) = list_models()
    assert (found.name, found.origin, found.folder, found.altered) == ("mine", "built in", str(builtin), ())
    assert (found.data, found.test_images, found.parameters) == ("Fashion-MNIST", 10_000, contract.parameters)
    assert found.macs == sum(layer.flops for layer in contract.layers) / 2
    assert found.files == (listed_file("mine.onnx", precision, file.read_bytes(), 0.08),)
    # It comes as one file, in the precision that the contract tells.
    assert in_precision(file, found.files[0].precision) == file  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=rf"the built-in model comes in {precision} only: capsedge export RUN"):
        in_precision(file, "int8" if precision == "fp32" else "fp32")


def test_a_run_that_was_finished_after_the_newest_export_is_found(tmp_path: Path) -> None:
    def run(name: str, when: int, status: Literal["training", "finished"], *files: str) -> Path:
        folder = tmp_path / name
        write_record(folder, status)
        for file in files:
            (folder / file).touch()
        for each in folder.iterdir():
            os.utime(each, (when, when))
        return folder

    export = run("exported", 100, "finished", "model.onnx") / "model.onnx"
    run("older", 50, "finished")
    run("exported-too", 150, "finished", "model.int8.onnx")
    run("unfinished", 160, "training")
    assert unexported_since(export, tmp_path) is None
    assert unexported_since(None, tmp_path) == tmp_path / "older"

    newer = run("newer", 120, "finished")
    (tmp_path / "unfinished" / "run.json").write_text("damaged")
    assert unexported_since(export, tmp_path) == newer
