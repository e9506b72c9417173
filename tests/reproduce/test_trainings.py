"""Runs by name: trained once, taken up where they were stopped, refused where they are another's."""

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from capsedge.data import Dataset, load_dataset
from capsedge.errors import Interrupted, WrongUse
from capsedge.recipe import Recipe
from capsedge.reproduce import trained
from capsedge.reproduce.cases import paper_set
from capsedge.reproduce.trainings import full_set_missing, is_stand_in, load_for_figure, train_all
from capsedge.training import Run
from tests.reproduce.conftest import MakeSettings, Watched
from tests.tiny import Silent, tiny_recipe

SUBSET = paper_set("fashion-mnist-subset")


class Untouched:
    """An observer of a training that must not happen."""

    def started(self, *_: object) -> None:
        raise AssertionError("it was trained again")

    stepped = measured = started


@pytest.fixture(scope="module")
def subset() -> Dataset:
    return load_dataset("fashion-mnist-subset")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return tiny_recipe("train.epochs=2", "train.batch_size=200")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, subset: Dataset, recipe: Recipe) -> Run:
    return trained(recipe, tmp_path_factory.mktemp("runs") / "run", subset, Silent(), "cpu")


def test_a_finished_run_is_found_and_not_trained_again(done: Run, subset: Dataset, recipe: Recipe) -> None:
    assert done.read_record().status == "finished"
    before = {path.name: path.read_bytes() for path in done.path.iterdir()}
    assert trained(recipe, done.path, subset, Untouched(), "cpu").path == done.path
    assert {path.name: path.read_bytes() for path in done.path.iterdir()} == before


@pytest.mark.parametrize("left", [[], [".lock", "recipe.toml"], [".recipe.toml.123.part", ".lock"]])
def test_a_run_that_was_killed_at_its_very_start_starts_over(
    left: list[str], tmp_path: Path, subset: Dataset, recipe: Recipe
) -> None:
    (tmp_path / "run").mkdir()
    for name in left:
        (tmp_path / "run" / name).write_text("cut sho")
    assert trained(recipe, tmp_path / "run", subset, Silent(), "cpu").read_record().status == "finished"


def test_a_run_of_another_recipe_is_refused_by_the_keys_that_differ(done: Run, subset: Dataset) -> None:
    other = tiny_recipe("train.epochs=2", "train.batch_size=200", "routing.learning_rate=0.5")
    wanted = r"has another recipe \(routing\.learning_rate: expected 0\.5, got 0\.01\): give another folder by --runs"
    with pytest.raises(WrongUse, match=wanted):
        trained(other, done.path, subset, Untouched(), "cpu")


@pytest.mark.parametrize("began", ["fp32", "bf16"])
def test_an_interrupted_run_goes_on_in_its_precision(tmp_path: Path, subset: Dataset, began: str) -> None:
    def asked(precision: str) -> Recipe:
        return tiny_recipe("train.epochs=2", "train.batch_size=200", f"train.precision={precision}")

    whole = trained(asked(began), tmp_path / "whole", subset, Silent(), "cpu")
    with Watched("run", after=3)("run") as interrupting, pytest.raises(Interrupted):
        trained(asked(began), tmp_path / "run", subset, interrupting, "cpu")
    told: list[tuple[str, int]] = []
    run = trained(
        asked("auto"),
        tmp_path / "run",
        subset,
        Silent(),
        "cpu",
        on_start=lambda each: told.append((each.precision.asked, each.position.step)),
    )
    assert told == [(began, 3)], "resumed, and not trained again"
    ours, theirs = load_file(run.best), load_file(whole.best)
    assert all(ours[name].equal(theirs[name]) for name in theirs)
    assert trained(asked("auto"), run.path, subset, Untouched(), "cpu").path == run.path
    other = {"fp32": "bf16", "bf16": "fp32"}[began]
    with pytest.raises(WrongUse, match=rf"train\.precision: expected {other}, got {began}"):
        trained(asked(other), run.path, subset, Untouched(), "cpu")


def test_a_run_on_other_images_is_refused(done: Run, subset: Dataset, recipe: Recipe) -> None:
    other = replace(subset, train=subset.validation)
    with pytest.raises(WrongUse, match="was trained on other images"):
        trained(recipe, done.path, other, Untouched(), "cpu")


@pytest.mark.parametrize("name", ["run/thesis.txt", "run"])
def test_a_person_s_files_in_the_way_are_left_alone(
    name: str, tmp_path: Path, subset: Dataset, recipe: Recipe
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("years of work")
    with pytest.raises(WrongUse, match="exists and is not a run"):
        trained(recipe, tmp_path / "run", subset, Untouched(), "cpu")
    assert (tmp_path / name).read_text() == "years of work"


def test_a_run_that_must_be_refused_is_refused_before_the_others_are_trained(
    make_settings: MakeSettings, subset: Dataset
) -> None:
    watched = Watched()
    settings = make_settings(watch=watched)
    recipes = [settings.recipe(SUBSET, kind, seed=0) for kind in ("l2", "frozen")]
    trained(tiny_recipe("train.epochs=1"), settings.folder(SUBSET, recipes[1]), subset, Silent(), "cpu")
    with pytest.raises(WrongUse, match="has another recipe"):
        list(train_all(settings, SUBSET, subset, recipes))
    assert watched.titles == []


def test_only_what_is_missing_is_trained_and_each_training_says_where_it_stands(
    make_settings: MakeSettings, subset: Dataset
) -> None:
    first, both = Watched(), Watched()
    settings = make_settings(watch=first)
    recipes = [settings.recipe(SUBSET, "l2", seed=seed) for seed in (0, 1)]
    list(train_all(settings, SUBSET, subset, recipes[:1]))
    runs = list(train_all(make_settings(watch=both), SUBSET, subset, recipes))
    assert [recipe.train.seed for recipe, _ in runs] == [0, 1]
    assert [run.read_record().status for _, run in runs] == ["finished"] * 2
    assert isinstance(runs[0][1], Run)
    (title,) = both.titles
    assert title.endswith("paper-fashion-mnist-subset-l2-fc-small-epochs1-seed1 (2 of 2)")


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_are_one_or_more_and_different(seeds: tuple[int, ...], make_settings: MakeSettings) -> None:
    with pytest.raises(WrongUse, match="--seed: expected one or more different seeds"):
        make_settings(seeds=seeds)


@pytest.mark.parametrize(("name", "labels"), [("fashion-mnist", 1), ("multi-fashion-mnist", 2)])
def test_the_subset_is_never_taken_for_the_full_set(
    name: str, labels: int, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("capsedge.data.known.SYSTEM_FOLDER", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CAPSEDGE_DATA", raising=False)
    settings = make_settings(data=name)
    data, dataset = load_for_figure(settings)
    assert (data.name, dataset.source) == (f"{name}-subset", "fashion-mnist-subset")
    recipe = settings.recipe(data, "l2", seed=0)
    assert recipe.data.source == "fashion-mnist-subset"
    assert (recipe.data.overlap > 0) == (dataset.labels_per_image == 2) == (labels == 2)
    assert is_stand_in(dataset, paper_set(name))
    assert not is_stand_in(dataset, data)
    assert "--download" in str(full_set_missing(paper_set(name)))
