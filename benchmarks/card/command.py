"""The command line that trains a recipe."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from capsedge.models import primary_capsules
from capsedge.models.routing import with_b0
from capsedge.recipe import Recipe, load_recipe, shipped_recipes, to_flat_values


def command_of(recipe: Recipe, name: str, *, shape: tuple[int, int, int]) -> str:
    """The command line that trains a recipe from the start, with its teachers in runs/ of a checkout.

    Args:
        recipe: The trained recipe.
        name: Name of the model in the zoo, whose recipe.toml is used if no shipped recipe has the recipe's name.
        shape: Height, width and channels of its images.
    """
    teachers = [word for path in recipe.train.teachers for word in ("--teacher", f"runs/{Path(path).name}")]
    if recipe.name not in shipped_recipes():
        return shlex.join(["capsedge", "train", f"zoo/{name}/recipe.toml"])
    shipped, source = load_recipe(recipe.name), recipe.data.source
    data = [] if source == shipped.data.source else ["--data", source]
    if data:  # a recipe of the edge family has settings for each data set, which --set cannot express
        shipped = load_recipe(recipe.name, data=source)
    given, base = (to_flat_values(_with_b0(each, shape)) for each in (recipe, shipped))
    changes = {key: value for key, value in given.items() if value != base[key] and key != "train.teachers"}
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={_written(value)}")]
    return shlex.join(["capsedge", "train", recipe.name, *data, *settings, *teachers])


def _with_b0(recipe: Recipe, shape: tuple[int, int, int]) -> Recipe:
    """The recipe with the b0 that a training chooses."""
    return replace(recipe, routing=with_b0(recipe.routing, primary_capsules(recipe, shape)))


def _written(value: Any) -> str:
    """A value as `--set` reads it: TOML, or a bare word."""
    plain = isinstance(value, str) and re.fullmatch(r"(?!(true|false|inf|nan)$)[A-Za-z][\w./-]*", value)
    return value if plain else json.dumps(msgspec.to_builtins(value))
