"""`capsedge recipe`, `capsedge train --list`, and the page that is made from the same texts."""

import importlib.util
import json
import tomllib
from pathlib import Path

import pytest

from capsedge.cli.recipe import SECTIONS, commented, meanings_of
from capsedge.recipe import Recipe, from_values, load_recipe, shipped_recipes, to_values
from tests.cli.conftest import ROOT
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)


@pytest.mark.parametrize("name", shipped_recipes()[::7])
def test_what_is_printed_is_the_same_recipe(name: str) -> None:
    recipe = load_recipe(name, ["train.teachers=['a b', 'c\"d']", "network.hidden=[[3, 4], [5, 6]]"])
    assert from_values(tomllib.loads(commented(recipe)), source="printed") == recipe


def test_a_printed_recipe_can_be_trained_from_a_file(capsedge: Capsedge, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    done = capsedge("recipe", "edge-nano", "--data", str(photos), "--set", "train.seed=7")
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "mine.toml").write_text(done.stdout)
    recipe = load_recipe(str(tmp_path / "mine.toml"))
    assert recipe == load_recipe("edge-nano", ["train.seed=7"], data=str(photos))
    assert (
        "# Passes over the training images; 0 for as many as make 3,000 steps, and 30 at least.\nepochs = 0\n"
        in done.stdout
    )


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--data", "gone/photos"), 1, "there is no file or folder 'gone/photos'"),
        (("--set", "data.source=gone/photos"), 1, "there is no file or folder 'gone/photos'"),
        (("--data", "fashion-mnits"), 2, "unknown data set 'fashion-mnits'"),
    ],
)
def test_images_that_are_not_there_are_refused_as_by_train(
    capsedge: Capsedge, options: tuple[str, str], code: int, said: str
) -> None:
    for command in (["recipe"], ["recipe", "--json"], ["train"]):
        done = capsedge(*command, *options)
        assert (done.returncode, done.stdout) == (code, "")
        assert said in done.stderr


def test_the_source_in_a_recipe_file_may_be_on_another_machine(capsedge: Capsedge, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('extends = "edge-nano"\nname = "mine"\n[data]\nsource = "/gone/photos"\n')
    assert 'source = "/gone/photos"' in capsedge("recipe", str(file)).stdout


def test_json_is_the_recipe(capsedge: Capsedge) -> None:
    printed = json.loads(capsedge("recipe", "--json").stdout)
    assert from_values(printed, source="printed") == load_recipe("edge-small")


def test_every_key_of_every_section_has_a_meaning() -> None:
    values = to_values(Recipe(name="defaults"))
    assert values.keys() - {"name"} == SECTIONS.keys()
    for section, kind in SECTIONS.items():
        meanings = meanings_of(kind)
        assert list(meanings) == list(values[section])
        assert all(len(text) > 5 and "  " not in text for text in meanings.values())


def test_the_page_of_all_keys_is_that_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("recipe_keys", ROOT / "scripts" / "recipe_keys.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.TARGET.read_text(encoding="utf-8") == script.page(), "python scripts/recipe_keys.py"


def test_the_list_names_every_part_and_in_json_every_recipe(capsedge: Capsedge) -> None:
    done = capsedge("train", "--list")
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    for name in shipped_recipes():
        assert name in words or all(part in words or part in name for part in name.split("-"))
    assert {"fashion-mnist", "l2", "edge-nano", "small"} <= {*words}
    assert "Sabour et al. 2017" in " ".join(words)
    assert done.stderr == "next: capsedge recipe edge-small\n"
    assert json.loads(capsedge("train", "--list", "--json").stdout) == shipped_recipes()
