"""A model's folder, made of a run: its figures against those of the export, and what is refused."""

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from benchmarks.card.__main__ import main
from benchmarks.card.index import encoded, index_of, listed, write_index
from benchmarks.card.make import PRECISIONS, _subset, _with_former, make
from benchmarks.card.pictures import PICTURES, draw
from benchmarks.card.record import Card, read_card
from benchmarks.card.words import markdown, write_card
from benchmarks.robustness.record import write_report
from capsedge.contract import Contract, Precision, contract_of
from capsedge.data import Dataset, Split, load_dataset
from capsedge.errors import CapsedgeError, ModelError, WrongUse
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.processor import this_processor
from capsedge.recipe import load_recipe
from capsedge.run_record import Teacher
from capsedge.runtime import models
from capsedge.runtime.models import find_model
from capsedge.training import Run
from tests.benchmarks.card.robust import report_of


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> Run:
    """A copy of the run, to be changed at will."""
    shutil.copytree(run.path, tmp_path / "tiny")
    return Run(tmp_path / "tiny")


@pytest.fixture
def whole(folder: Path, tmp_path: Path) -> Path:
    """A copy of the model's folder, likewise."""
    return Path(shutil.copytree(folder, tmp_path / "edge-tiny"))


def contract(run: Run, precision: Precision) -> Contract:
    file = run.path / ("model.onnx" if precision == "fp32" else f"model.{precision}.onnx")
    found = contract_of(read_onnx_file(file), source=str(file))
    assert found is not None
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_errors_are_those_that_the_export_found(run: Run, card: Card, precision: Precision) -> None:
    scores = {score.split: score.error for score in contract(run, precision).scores if score.stage == precision}
    found = card.measured[precision]

    assert (found.validation_error, found.test_error) == pytest.approx((scores["validation"], scores["test"]))
    assert found.subset_error == found.test_error  # the data is the subset
    right = sum(found.confusion[label][label] for label in range(10))
    assert sum(map(sum, found.confusion)) == card.data.test == 1000
    assert right == round((1 - found.test_error) * 1000)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_calibration_error_is_the_mean_distance_of_accuracy_and_length(card: Card, precision: Precision) -> None:
    found = card.measured[precision]

    away = [abs(each.accuracy - each.length) for each in found.reliability for _ in range(each.images)]
    assert len(away) == 1000
    assert found.calibration_error == pytest.approx(np.mean(away))
    assert sum(round(each.accuracy * each.images) for each in found.reliability) == round(
        (1 - found.test_error) * 1000
    )


def test_the_card_tells_where_the_model_comes_from(run: Run, card: Card) -> None:
    record, promised = run.read_record(), contract(run, "fp32")

    assert (card.name, card.recipe, card.routing) == ("edge-tiny", "fashion-mnist-l2-small", "l2")
    assert card.data.classes == record.classes
    assert (card.data.train, card.data.validation, card.data.test, card.data.subset) == (1600, 400, 1000, 1000)
    assert card.data.sha256 == record.data_sha256
    assert (card.parameters, card.macs) == (promised.parameters, promised.flops // 2)
    assert card.int8_change["test"].mean == pytest.approx(
        card.measured["int8"].test_error - card.measured["fp32"].test_error
    )
    assert card.processor == this_processor()
    assert card.exported_with.items() >= promised.versions.items()
    assert card.shown == "fp32"


def test_the_seeds_are_told_with_mean_and_standard_deviation(run: Run, sibling: Run, card: Card) -> None:
    own, other = ([score.error for score in each.read_record().scores] for each in (run, sibling))

    assert [each.seed for each in card.seeds.runs] == [0, 7]
    told = (card.seeds.validation_error, card.seeds.test_error)
    for found, mine, theirs in zip(told, own, other, strict=True):
        assert found.mean == pytest.approx((mine + theirs) / 2)
        assert found.spread == pytest.approx(abs(mine - theirs) / 2**0.5)  # of two, with n - 1
        assert found.count == 2


def test_the_folder_holds_the_files_that_the_card_lists(run: Run, folder: Path, card: Card) -> None:
    assert {file.name for file in folder.iterdir()} == {*card.files, "card.json", "card.md", *PICTURES}
    for name, facts in card.files.items():
        content = (folder / name).read_bytes()
        assert (facts.size_bytes, facts.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    for name in ("model.onnx", "model.int8.onnx", "metrics.jsonl", "recipe.toml"):
        assert (folder / name).read_bytes() == (run.path / name).read_bytes()
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            assert picture.width >= 600


def test_the_index_lists_the_files_of_every_card(zoo: Path, folder: Path, card: Card, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "zoo" / "another")
    smaller = replace(
        card,
        name="another",
        parameters=1,
        files={name: facts for name, facts in card.files.items() if name != "model.onnx"},
    )
    write_card(smaller, tmp_path / "zoo" / "another")
    shutil.copytree(folder, tmp_path / "zoo" / "edge-tiny")

    write_index(tmp_path / "zoo", tmp_path / "zoo.json")

    index = msgspec.json.decode((tmp_path / "zoo.json").read_bytes(), type=models.Index)
    assert [each.name for each in index.models] == ["another", "edge-tiny"]
    assert [[file.file for file in each.files] for each in index.models] == [
        ["model.int8.onnx"],
        ["model.onnx", "model.int8.onnx"],
    ]
    (own,) = index_of(zoo).models
    assert own == index.models[1] == listed(card)
    for file in own.files:
        content = (folder / file.file).read_bytes()
        assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert [file.test_error for file in own.files] == [card.measured[each].test_error for each in PRECISIONS]


def test_a_model_of_the_index_is_found(
    zoo: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "zoo.json").write_bytes(encoded(index_of(zoo)))
    monkeypatch.setattr(models, "BUILTIN", tmp_path)
    monkeypatch.setenv("CAPSEDGE_ZOO", str(zoo))

    assert find_model("edge-tiny.int8") == folder / "model.int8.onnx"


def test_a_file_that_is_too_large_stays_out_and_is_measured_all_the_same(run: Run, whole: Path, card: Card) -> None:
    folder = whole

    found = make(run, folder, keep=["int8"])  # over a folder that has them all

    assert not (folder / "model.onnx").exists()
    assert not (folder / "weights.safetensors").exists()
    assert set(found.files) == {"model.int8.onnx", "recipe.toml", "run.json", "metrics.jsonl"}
    assert found.measured == card.measured
    assert found.shown == "int8"
    assert [file.file for file in listed(found).files] == ["model.int8.onnx"]
    text = (folder / "card.md").read_text()
    assert f"`model.onnx` ({card.files['model.onnx'].size_bytes:,} bytes" in text
    assert "Answers of `model.int8.onnx` to the test images." in text


def test_what_was_measured_elsewhere_stays_while_the_files_do(whole: Path, card: Card) -> None:
    write_card(replace(card, robustness=report_of(card.name)), whole)
    other = {**card.measured, "int8": replace(card.measured["int8"], sha256="0" * 64)}

    assert _with_former(card, whole).robustness == report_of(card.name)
    assert _with_former(replace(card, measured=other), whole).robustness is None
    assert _with_former(card, whole.parent) == card  # there is no card
    (whole / "card.json").write_text("{}")
    assert _with_former(card, whole) == card


def test_of_teachers_the_names_and_the_recipes_are_told_and_no_folder_of_this_machine(
    copied: Run, tmp_path: Path
) -> None:
    teacher = Run(tmp_path / "teachers" / "ensemble-0")
    teacher.write_recipe(load_recipe("edge-base"))
    places = (str(teacher.path), str(tmp_path / "teachers" / "gone"))
    recipe = copied.read_recipe()
    copied.write_recipe(replace(recipe, train=replace(recipe.train, teachers=places)))
    taught = tuple(Teacher(run=place, sha256=letter * 64) for place, letter in zip(places, "ab", strict=True))
    copied.write_record(replace(copied.read_record(), teachers=taught))
    folder = tmp_path / "zoo" / "student"
    of_before = folder / "teachers" / "another.toml"
    of_before.parent.mkdir(parents=True)
    of_before.touch()

    card = make(copied, folder, keep=["int8"])

    assert [(each.name, each.recipe) for each in card.teachers] == [
        ("ensemble-0", "teachers/ensemble-0.toml"),
        ("gone", ""),
    ]
    assert Run(folder).read_recipe().train.teachers == ("runs/ensemble-0", "runs/gone")
    assert load_recipe(str(folder / "teachers" / "ensemble-0.toml")) == load_recipe("edge-base")
    for name in ("recipe.toml", "run.json", "card.json", "card.md"):
        assert str(tmp_path) not in (folder / name).read_text()
    assert "--teacher runs/ensemble-0 --teacher runs/gone" in card.command
    assert f"`gone` (its recipe was gone, SHA-256 {'b' * 64})" in markdown(card)
    assert not of_before.exists()


def test_the_subset_is_found_among_the_test_images_by_its_rule() -> None:
    subset = load_dataset("fashion-mnist-subset")
    assert isinstance(subset.train, Split)
    extra = Split(subset.train.images[:300], subset.train.labels[:300])  # as the full set has more of each class
    images = np.concatenate([subset.test.images, extra.images])
    labels = np.concatenate([subset.test.labels, extra.labels])
    larger = replace_test(subset, Split(images, labels))

    places = _subset(larger)
    assert places is not None
    assert places.tolist() == list(range(1000))
    assert _subset(replace_test(subset, Split(images[::-1].copy(), labels[::-1].copy()))) is None


def replace_test(dataset: Dataset, test: Split) -> Dataset:
    return dataclasses.replace(dataset, test=test)


def compress(run: Run) -> None:
    (run.path / "compression.json").write_text("{}")


def teach_by_one_name(run: Run) -> None:
    folders = (str(run.path.parent / "a" / "x"), str(run.path.parent / "b" / "x"))
    taught = tuple(Teacher(run=folder, sha256="0" * 64) for folder in folders)
    run.write_record(replace(run.read_record(), teachers=taught))


def break_seed(run: Run) -> None:
    recipe = run.read_recipe()
    run.write_recipe(replace(recipe, train=replace(recipe.train, learning_rate=0.5)))


def break_status(run: Run) -> None:
    run.write_record(replace(run.read_record(), status="training"))


def break_scores(run: Run) -> None:
    scores = tuple(replace(score, error=score.error / 2) for score in run.read_record().scores)
    run.write_record(replace(run.read_record(), scores=scores))


def lose(name: str) -> Callable[[Run], None]:
    return lambda run: (run.path / name).unlink()


def strip_contract(run: Run) -> None:
    import onnx

    model = onnx.load(run.path / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, run.path / "model.onnx")


@pytest.mark.parametrize(
    ("broken", "kind", "line"),
    [
        (break_status, ModelError, r"is not finished: capsedge train --resume --run .*tiny"),
        (break_scores, ModelError, r"model.onnx' is of another training than .*: capsedge export .*tiny"),
        (lose("model.int8.onnx"), ModelError, r"has no file in int8: capsedge export .*tiny --precision fp32,int8"),
        (lose("model.onnx"), ModelError, r"has no model.onnx: capsedge export .*tiny --precision fp32,int8"),
        (strip_contract, ModelError, r"model.onnx' was not accepted by the gate: capsedge export"),
        (compress, WrongUse, r"was made by capsedge compress, so its recipe alone .*: give a run of capsedge train"),
        (
            teach_by_one_name,
            WrongUse,
            r"expected different folder names .*, got '.*a/x' and '.*b/x': rename",
        ),
        (break_seed, WrongUse, r"differs from .* in more than train.seed: give runs of one recipe"),
    ],
)
def test_a_run_that_cannot_be_told_of_is_refused_and_nothing_is_written(
    copied: Run, sibling: Run, tmp_path: Path, broken: Callable[[Run], None], kind: type[CapsedgeError], line: str
) -> None:
    broken(copied)

    with pytest.raises(kind, match=line):
        make(copied, tmp_path / "zoo" / "tiny", others=[sibling])
    assert not (tmp_path / "zoo").exists()


def test_a_folder_that_is_the_runs_own_is_refused_and_keeps_its_files(copied: Run, whole: Path) -> None:
    for path in (copied.path, whole):
        before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        with pytest.raises(WrongUse, match="is the run itself: give another folder"):
            make(Run(path), path)
        assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_a_folder_of_the_zoo_has_no_weights_to_keep(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a run but a folder of the zoo"):
        make(Run(whole), tmp_path / "zoo" / "tiny")
    assert not (tmp_path / "zoo").exists()


def test_the_pictures_take_any_name_of_a_class(card: Card, run: Run, tmp_path: Path) -> None:
    names = ("5_$ to 10_$", "$", "$x^{", "a|b", r"\$", "bags & co", "<b>", "[bold]", "*s*", "ankle-boot")
    odd = replace(card, data=replace(card.data, classes=names))

    draw(odd, run.metrics, np.zeros((1000, 28, 28, 1), np.uint8), tmp_path)

    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(PICTURES)


def test_a_run_with_the_same_seed_and_weights_alone_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"has the same seed as .*, 0: give runs of other seeds"):
        make(run, tmp_path / "tiny", others=[run])
    with pytest.raises(WrongUse, match="needs an executable file: keep fp32 or int8"):
        make(run, tmp_path / "tiny", keep=["weights"])


def test_the_command_adds_to_a_card_that_is_there(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = read_card(whole).name
    write_report(report_of("another", name), tmp_path / "robustness.json")

    assert main(["--output", str(whole), "--robustness", str(tmp_path / "robustness.json")]) == 0

    assert read_card(whole).robustness == report_of(name)
    assert f"|  | {name} |\n|---|---|\n| as they are | 25.00 ± 15.00 |" in (whole / "card.md").read_text()
    assert capsys.readouterr().err == f"card: {whole / 'card.md'}\n"


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["--output", "nowhere"], 1, "card: 'nowhere' has no card.json: python -m benchmarks.card RUN"),
        (["nowhere", "--output", "x"], 1, "card: 'nowhere' is not a run"),
        (
            ["--output", "{card}", "--robustness", "gone.json"],
            1,
            "'gone.json' cannot be read as a report of robustness",
        ),
        (["--output", "{card}", "--bench", "gone.json"], 1, "the report 'gone.json' cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, line: str
) -> None:
    assert main([word.format(card=folder) for word in words]) == code
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "--output", "x", "--files", "fp32,fp64"], "expected fp32, int8, weights, separated by commas, got"),
        (["--output", "x", "--files", "int8"], "--seed-run and --files need a RUN"),
    ],
)
def test_what_cannot_be_meant_is_wrong_use(capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)

    assert stop.value.code == 2
    assert line in capsys.readouterr().err


def test_a_report_of_other_networks_is_refused(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(report_of("another"), tmp_path / "robustness.json")
    assert main(["--output", str(whole), "--robustness", str(tmp_path / "robustness.json")]) == 1
    assert "got those of another" in capsys.readouterr().err
