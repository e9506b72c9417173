"""The zoo: every card is true of the files beside it, and the index in the wheel is that of the cards.

The errors are counted again on the full test set where it is on this machine, else on the subset that ships, which is
part of it. While there is no folder yet, the index must be empty.
"""

import shutil
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from benchmarks.card.command import command_of
from benchmarks.card.index import TARGET, ZOO, encoded, index_of
from benchmarks.card.measure import answers, error, facts_of
from benchmarks.card.pictures import PICTURES
from benchmarks.card.record import WEIGHTS, read_card
from benchmarks.card.weights import load_half
from benchmarks.card.words import markdown
from capsedge.contract import Precision
from capsedge.data import load_dataset
from capsedge.data.known import SUBSET
from capsedge.runtime.models import BUILTIN
from capsedge.scoring import confusion
from capsedge.training import Run, lengths_of
from tests.in_process import in_this_process

MOST_BYTES = 30_000_000
FOLDERS = sorted(path for path in ZOO.glob("*") if path.is_dir())
FILES = [
    pytest.param(folder, precision, id=f"{folder.name}-{precision}")
    for folder in FOLDERS
    for card in [read_card(folder)]
    for precision, found in card.measured.items()
    if found.file in card.files
]
WITH_WEIGHTS = [each for each in FOLDERS if WEIGHTS in read_card(each).files]
each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def other_answers(images: int) -> int:
    """How many images may get another answer on another processor, which rounds fp32 in another order."""
    return max(1, images // 2000)


def test_the_index_is_that_of_the_cards_and_empty_without_any() -> None:
    assert TARGET.read_bytes() == encoded(index_of(ZOO))
    assert [each.name for each in index_of(ZOO).models if not each.files] == []
    assert {each.name for each in index_of(ZOO).models} == {folder.name for folder in FOLDERS}


def test_the_wheel_carries_the_index() -> None:
    project = tomllib.loads((TARGET.parents[2] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["capsedge"]

    assert any(fnmatch(f"{TARGET.parent.name}/{TARGET.name}", pattern) for pattern in patterns)


def test_the_zoo_has_30_mb_at_most() -> None:
    sizes = {file: file.stat().st_size for file in ZOO.rglob("*") if file.is_file()}

    assert sum(sizes.values()) <= MOST_BYTES, sorted(sizes.items(), key=lambda item: -item[1])[:5]


@each_folder
def test_a_folder_holds_what_its_card_lists(folder: Path) -> None:
    card = read_card(folder)
    recipes = {each.recipe for each in card.teachers if each.recipe}
    held = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}

    assert card.name == folder.name
    assert held == {*card.files, *recipes, *PICTURES, "card.json", "card.md"}
    assert card.files == {name: facts_of(folder / name) for name in card.files}
    for found in card.measured.values():
        if found.file in card.files:
            facts = card.files[found.file]
            assert (facts.sha256, facts.size_bytes) == (found.sha256, found.size_bytes)


@each_folder
def test_a_card_is_the_text_of_its_record(folder: Path) -> None:
    assert (folder / "card.md").read_text(encoding="utf-8") == markdown(read_card(folder))


@each_folder
def test_a_folder_names_its_own_run_and_no_folder_of_the_machine_that_trained_it(folder: Path) -> None:
    card, run = read_card(folder), Run(folder)
    scores = {score.split: score.error for score in run.read_record().scores}

    assert run.read_recipe().name == card.recipe
    assert card.command == command_of(
        run.read_recipe(), card.name, shape=run.read_record().shape
    )  # else the shipped recipe is another one now
    assert run.read_record().status == "finished"
    assert (card.seeds.runs[0].validation_error, card.seeds.runs[0].test_error) == tuple(scores.values())
    places = [*run.read_recipe().train.teachers, *(each.run for each in run.read_record().teachers)]
    assert [place for place in places if not place.startswith("runs/")] == []


@pytest.mark.parametrize("folder", WITH_WEIGHTS[:1], ids=lambda folder: folder.name)
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("export edge", 1),
        ("compress edge --keep 0.5", 1),
        ("gate edge", 1),
        ("train --resume --run edge", 1),
        ("train --data fashion-mnist-subset --teacher edge", 1),
    ],
)
def test_a_command_that_wants_a_run_says_how_to_make_one(
    folder: Path,
    command: str,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(folder, tmp_path / "edge")
    monkeypatch.chdir(tmp_path)

    said = in_this_process(capsys, monkeypatch)(*command.split())

    assert said.returncode == code
    line = said.stderr.splitlines()[-1]
    assert "edge' is not a run but a folder of the zoo, " in line
    assert "edge runs/edge in a checkout of capsedge, and give that" in line
    assert [path.name for path in tmp_path.iterdir()] == ["edge"]


@pytest.mark.parametrize(("folder", "precision"), FILES)
def test_a_file_errs_as_often_as_its_card_says(folder: Path, precision: Precision) -> None:
    card = read_card(folder)
    found, dataset = card.measured[precision], load_dataset(card.data.source)
    whole = dataset.source == card.data.source
    wanted = found.test_error if whole else found.subset_error
    test = dataset.test

    lengths = answers(folder / found.file, test.images)

    assert len(test) == (card.data.test if whole else card.data.subset)
    assert wanted is not None
    assert abs(error(lengths, test.labels) - wanted) * len(test) <= other_answers(len(test)) + 1e-6
    if whole:
        moved = np.abs(np.subtract(confusion(lengths, test.labels), found.confusion)).sum()
        assert moved <= 2 * other_answers(len(test))


@pytest.mark.parametrize("folder", WITH_WEIGHTS)
def test_the_weights_in_fp16_are_those_of_the_files(folder: Path) -> None:
    """Within 0.3 points of the file in fp32, on the subset."""
    import torch

    card, test = read_card(folder), load_dataset(SUBSET).test
    wanted = card.measured["fp32"].subset_error

    lengths = lengths_of(load_half(folder), test, torch.device("cpu")).numpy()

    assert wanted is not None
    assert abs(error(lengths, test.labels) - wanted) <= 0.003


def test_the_built_in_model_is_the_zoos_small_one_in_int8() -> None:
    assert (BUILTIN / "fashion-mnist.onnx").read_bytes() == (ZOO / "edge-small" / "model.int8.onnx").read_bytes()
