"""The variants of `parts`: a recipe of the edge family with one setting changed at a time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from benchmarks.ablation.study import StudyVariant, UntestedTrainer
from capsedge.recipe import Recipe, load_recipe

BASE = "base"
TEACHER = "teacher"
ANOTHER_SEED, SEED_OFFSET = "another-seed", 1000

# Changes of the base; a variant equal to the base is left out.
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "shift-0": ("data.shift=0",),
    "shift-1": ("data.shift=1",),
    "shift-2": ("data.shift=2",),
    "no-flip": ("data.flip=false",),
    "flip": ("data.flip=true",),
    "rotation": ("data.rotation=10",),
    "scale": ("data.scale=0.1",),
    "erase": ("data.erase=0.25",),
    "dropout": ("network.dropout=0.1",),
    "no-decay": ("train.weight_decay=0",),
    "no-averaging": ("train.averaging=0",),
    "constant": ("train.schedule=constant",),
    "cosine": ("train.schedule=cosine",),
    "plain": ("network.stem=plain",),
    "repvgg": ("network.stem=repvgg",),
    "residual": ("network.stem=residual",),
    "separable": ("network.stem=separable",),
}

# The same blocks cost more in a residual stem and less in a separable one. These blocks have about the products of
# nano: stem and blocks change, at equal cost.
AT_NANOS_COST: Mapping[str, tuple[str, ...]] = {
    "residual-equal": ("network.stem=residual", "network.blocks=[[12, 2], [16, 2], [32, 2], [40, 1]]"),
    "separable-equal": (
        "network.stem=separable",
        "network.blocks=[[16, 2], [56, 2], [80, 1], [96, 2], [96, 1], [128, 1]]",
    ),
}


def variants(network: str, settings: Sequence[str], teachers: Sequence[Path], *, data: str) -> list[StudyVariant]:
    """The base and its variants.

    Args:
        network: Name of the base's recipe.
        settings: Changes of the base, as `section.key=value`.
        teachers: Run folders for the variant with teachers; empty for no such variant.
        data: Data set or folder of the images.

    Raises:
        WrongUse: The recipe or a setting does not exist, or a variant cannot be made with them.
    """
    return list(_variants(network, settings, teachers, data=data))


def _variants(
    network: str, settings: Sequence[str], teachers: Sequence[Path], *, data: str
) -> Iterator[StudyVariant]:
    base = load_recipe(network, settings, data=data)
    yield _case(BASE, (), base)
    # The effect of the seed alone: a smaller effect of another variant may be chance.
    yield StudyVariant(
        name=ANOTHER_SEED,
        changes=(f"train.seed + {SEED_OFFSET}",),
        recipe=base,
        trainer=UntestedTrainer,
        seed_offset=SEED_OFFSET,
    )
    for name, changes in _changes(network).items():
        recipe = load_recipe(network, [*settings, *changes], data=data)
        if recipe != base:
            yield _case(name, changes, recipe)
    if teachers:
        folders = tuple(str(each.resolve()) for each in teachers)
        told = ", ".join(Path(each).name for each in folders)
        yield _case(TEACHER, (f"train.teachers={told}",), replace(base, train=replace(base.train, teachers=folders)))


def _changes(network: str) -> dict[str, tuple[str, ...]]:
    return {**VARIANTS, **(AT_NANOS_COST if network == "edge-nano" else {})}


def _case(name: str, changes: tuple[str, ...], recipe: Recipe) -> StudyVariant:
    return StudyVariant(name=name, changes=changes, recipe=recipe, trainer=UntestedTrainer)
