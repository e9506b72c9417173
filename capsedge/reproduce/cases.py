"""The paper's trainings: its data sets, the rows of Table II, and the recipe of each training."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from msgspec.structs import replace

from capsedge.errors import WrongUse, refuse_text
from capsedge.files import expanded
from capsedge.plural import number_of
from capsedge.recipe import NetworkRecipe, Recipe, RoutingKind, load_recipe, shipped_recipes

Width = Literal["table1", "small"]
# The order of every table and legend: the baseline, the paper's two kinds, then the kinds for comparison.
KINDS: tuple[RoutingKind, ...] = ("dynamic", "l2", "l1", "frozen", "backprop", "kl", "em")
_DECODER = f"network.decoder={list(NetworkRecipe().decoder)}"
_NO_DECODER = "network.decoder=[]"
# Section IV.B.1: without the decoder, MNIST is trained in smaller batches with a rate that halves every 1000 steps.
_MNIST_NO_DECODER = (
    "train.batch_size=32",
    "train.schedule=step",
    "train.decay=0.5",
    "train.decay_steps=1000",
)
_DECIDED = {
    "routing.kind": "the choice of rows or --kind",
    "data.source": "--data",
    "data.overlap": "--data",
    "train.seed": "--seed",
    "train.epochs": "--epochs",
}


@dataclass(frozen=True)
class PaperMethod:
    """A row of Table II.

    Attributes:
        name: Its name in filters and files.
        label: Its name in the paper; "/FC" is without the fully connected decoder.
        kind: Its routing.
        decoder: Whether it also trains the reconstruction network.
    """

    name: str
    label: str
    kind: RoutingKind
    decoder: bool


METHODS = (
    PaperMethod("dr", "DR", "dynamic", decoder=True),
    PaperMethod("l2", "L2", "l2", decoder=True),
    PaperMethod("l1", "L1", "l1", decoder=True),
    PaperMethod("l2-fc", "L2/FC", "l2", decoder=False),
    PaperMethod("l1-fc", "L1/FC", "l1", decoder=False),
)


@dataclass(frozen=True)
class PaperSet:
    """A column of Table II, or a user's data set.

    Attributes:
        name: Its name in filters, files and run folders.
        title: Its name in titles.
        recipes: First part of the names of its recipes.
        methods: Names of its rows.
        source: Source of the images; None for that of its recipes.
        decoder: Whether its networks have a decoder in the rows that are not "/FC".
    """

    name: str
    title: str
    recipes: str
    methods: tuple[str, ...]
    source: str | None = None
    decoder: bool = True


_ALL = tuple(method.name for method in METHODS)
PAPER_SETS = (
    PaperSet("mnist", "MNIST", "mnist", _ALL),
    PaperSet("fashion-mnist", "Fashion-MNIST", "fashion-mnist", _ALL),
    PaperSet("cifar-10", "CIFAR-10", "cifar-10", ("dr", "l2-fc", "l1-fc"), decoder=False),
    PaperSet("multi-mnist", "MultiMNIST", "multi-mnist", ("dr", "l2", "l1")),
    PaperSet(
        "multi-fashion-mnist",
        "overlapped Fashion-MNIST (stand-in for MultiMNIST)",
        "multi-fashion-mnist",
        ("dr", "l2", "l1"),
    ),
)


def paper_set(data: str | None) -> PaperSet:
    """The paper's data set of that name, Fashion-MNIST for None, or a user's, with Fashion-MNIST's recipes."""
    for known in PAPER_SETS:
        if known.name == (data or "fashion-mnist"):
            return known
    assert data is not None
    title = expanded(data).resolve().name
    name = re.sub(r"[^\w.+-]+", "-", title).strip("-.") or "data"
    taken = name in [known.name for known in PAPER_SETS]  # a folder named mnist may hold other images
    return PaperSet(f"{name}-folder" if taken else name, title, "fashion-mnist", _ALL, source=data)


def chosen_rows(data: str | None, only: Sequence[str]) -> list[tuple[PaperSet, PaperMethod]]:
    """The rows of Table II.

    Args:
        data: Name or folder of the data set; None for all of the paper's.
        only: Rows as `data set`, `data set/method`, or a pattern such as `*/l2-fc`; empty for all.

    Raises:
        WrongUse: A filter matches no row.
    """
    sets = PAPER_SETS if data is None else (paper_set(data),)
    rows = [(each, method) for each in sets for method in METHODS if method.name in each.methods]
    refuse_text(only, "rows")
    for pattern in only:
        if not any(_fits(pattern, *row) for row in rows):
            names = ", ".join(row_name(*row) for row in rows)
            raise WrongUse(f"--only '{pattern}' matches no row", f"there are: {names}")
    return [row for row in rows if not only or any(_fits(pattern, *row) for pattern in only)]


def row_name(data: PaperSet, method: PaperMethod) -> str:
    """Name of a row of Table II in filters."""
    return f"{data.name}/{method.name}"


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse to train without a seed, or twice with one.

    Raises:
        WrongUse: There is no seed, or one is given twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise WrongUse(f"--seed: expected one or more different seeds, got {', '.join(map(str, seeds)) or 'none'}")


def recipe_of(
    data: PaperSet,
    kind: RoutingKind,
    *,
    decoder: bool | None = None,
    width: Width = "table1",
    epochs: int | None = None,
    seed: int = 0,
    overrides: Sequence[str] = (),
) -> Recipe:
    """The recipe of one training.

    Args:
        data: Its data set.
        kind: Its routing.
        decoder: True for Table I's decoder, False for none, None for that of the shipped recipe.
        width: That of Table I, or the small one.
        epochs: Number of epochs; None for that of the recipe.
        seed: Seed of weights, order and augmentation.
        overrides: `section.key=value`, as in `capsedge train --set`.

    Raises:
        WrongUse: There is no such recipe, or an override names a key that another option sets.
    """
    name = recipe_name(data, kind, width)
    _check(
        overrides, decided=_DECIDED if decoder is None else {**_DECIDED, "network.decoder": "the row or the figure"}
    )
    changes = [] if decoder is None else [_DECODER if decoder and data.decoder else _NO_DECODER]
    if data.recipes == "mnist" and not load_recipe(name, [*changes, *overrides]).network.decoder:
        changes += _MNIST_NO_DECODER
    recipe = load_recipe(name, [*changes, *overrides, f"train.seed={seed}"])
    if epochs is not None:
        recipe = replace(recipe, train=replace(recipe.train, epochs=epochs))
    if data.source is not None:
        recipe = replace(recipe, data=replace(recipe.data, source=data.source))
    return recipe


def recipe_name(data: PaperSet, kind: RoutingKind, width: Width) -> str:
    """Name of the shipped recipe that a training starts from."""
    return f"{data.recipes}-{kind}{'-small' if width == 'small' else ''}"


def kinds_with_recipes(data: PaperSet, width: Width) -> tuple[RoutingKind, ...]:
    """The kinds of routing with a shipped recipe, in the order of every legend."""
    shipped = shipped_recipes()
    return tuple(kind for kind in KINDS if recipe_name(data, kind, width) in shipped)


def checked_kinds(kinds: Sequence[str] | None, data: PaperSet, width: Width) -> tuple[RoutingKind, ...]:
    """The requested kinds, in the order of every legend; None for all kinds with a recipe.

    Raises:
        WrongUse: There is no such kind, or no recipe for it.
    """
    refuse_text(kinds or (), "kinds")
    known = kinds_with_recipes(data, width)
    for kind in kinds or ():
        if kind not in known:
            raise WrongUse(f"--kind: expected {', '.join(known)}, got '{kind}'")
    return tuple(kind for kind in known if not kinds or kind in kinds)


def run_name(data: PaperSet, recipe: Recipe, *, width: Width, epochs: int | None) -> str:
    """Name of a training's folder, of characters that need no quotes in a shell."""
    parts = ["paper", data.name, recipe.routing.kind]
    parts += [] if recipe.network.decoder else ["fc"]
    parts += ["small"] if width == "small" else []
    parts += [f"epochs{epochs}"] if epochs is not None else []
    return "-".join([*parts, f"seed{recipe.train.seed}"])


def in_words(
    width: Width,
    *,
    changes: Sequence[str] = (),
    epochs: int = 0,
    recipe_epochs: int = 0,
    decoder: bool | None = None,
) -> str:
    """A training's settings, for titles: width, decoder, changed values, and epochs, marked if shortened."""
    words = ["Table I width" if width == "table1" else "small width"]
    words += [] if decoder is None else ["with decoder" if decoder else "no decoder"]
    words += changes
    words += [number_of(epochs, "epoch")] if epochs else []
    shortened = f" (shortened from {recipe_epochs})" if epochs < recipe_epochs else ""
    return ", ".join(words) + shortened


def _fits(pattern: str, data: PaperSet, method: PaperMethod) -> bool:
    return pattern == data.name or fnmatchcase(row_name(data, method), pattern.lower())


def _check(overrides: Sequence[str], decided: dict[str, str]) -> None:
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key in decided:
            raise WrongUse(f"--set {key} has no effect here: it is set by {decided[key]}")
