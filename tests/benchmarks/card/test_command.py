"""The command line on a card, read back as `capsedge train` reads it."""

import shlex

import pytest
from msgspec.structs import replace

from benchmarks.card.command import command_of
from capsedge.recipe import Recipe, load_recipe

SHAPE = (28, 28, 1)


def read_back(command: str) -> tuple[Recipe, list[str]]:
    """The recipe that a command trains, and its teachers."""
    program, verb, name, *options = shlex.split(command)
    assert (program, verb) == ("capsedge", "train")
    given = list(zip(options[::2], options[1::2], strict=True))
    sets = [value for option, value in given if option == "--set"]
    return load_recipe(name, sets, data=dict(given).get("--data")), [
        value for option, value in given if option == "--teacher"
    ]


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["train.precision=bf16", "train.seed=3", "train.learning_rate=1e-5", "data.flip=false", "data.shift=1"],
        ["network.blocks=[[8, 2], [16, 2]]", "network.decoder=[32, 64]"],
        ['data.source="/some where/it\'s"'],
    ],
)
def test_the_command_trains_the_recipe(changes: list[str]) -> None:
    recipe = load_recipe("edge-small", changes)

    assert read_back(command_of(recipe, "edge-small", shape=SHAPE)) == (recipe, [])


@pytest.mark.parametrize(("name", "data"), [("edge-small", "cifar-10"), ("edge-nano", "mnist"), ("mnist-l2", "own/")])
def test_the_data_is_given_as_such_and_its_part_of_the_recipe_is_not_said_again(name: str, data: str) -> None:
    recipe = load_recipe(name, data=data)

    command = command_of(recipe, name, shape=SHAPE)

    assert command == f"capsedge train {name} --data {data}"
    assert read_back(command) == (recipe, [])


def test_what_the_shipped_recipe_says_is_not_said_again() -> None:
    assert command_of(load_recipe("edge-nano"), "edge-nano", shape=SHAPE) == "capsedge train edge-nano"


def test_teachers_are_named_as_runs_of_the_checkout() -> None:
    recipe = load_recipe("edge-small", ['train.teachers=["/home/me/runs/one", "/home/me/runs/two"]'])

    command = command_of(recipe, "edge-small", shape=SHAPE)

    assert "/home" not in command
    without = replace(recipe, train=replace(recipe.train, teachers=()))
    assert read_back(command) == (without, ["runs/one", "runs/two"])


def test_a_recipe_of_ones_own_is_trained_from_its_file() -> None:
    recipe = replace(load_recipe("edge-small"), name="mine")

    assert command_of(recipe, "my-model", shape=SHAPE) == "capsedge train zoo/my-model/recipe.toml"
