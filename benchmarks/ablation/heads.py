"""The variants of `heads`: different heads on the same stem and primary convolution, with the same training."""

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from benchmarks.ablation.linear import LinearRun, LinearTrainer
from benchmarks.ablation.study import StudyVariant
from capsedge.errors import WrongUse
from capsedge.recipe import Recipe, RoutingRecipe, load_recipe
from capsedge.training import Trainer


def heads(network: str, settings: Sequence[str], *, data: str) -> list[StudyVariant]:
    """The heads, the collapsed capsules first.

    Args:
        network: Name of the recipe with the stem.
        settings: Changes of the recipe, as `section.key=value`.
        data: Data set or folder of the images.

    Raises:
        WrongUse: The recipe or a setting does not exist, or its routing is not learned by eq 10.
    """
    base = load_recipe(network, settings, data=data)
    if base.routing.kind != "l2":
        raise WrongUse(f"expected routing.kind l2 to compare heads, got {base.routing.kind} in '{network}'")
    # From its own recipe, which has the scale of its initial weights.
    dynamic = load_recipe("fashion-mnist-dynamic").routing
    return [
        StudyVariant(name="capsules", changes=(), recipe=base, trainer=Trainer),
        _linear("linear", base, direct=False),
        _linear("linear-direct", base, direct=True),
        StudyVariant(
            name="dynamic",
            changes=(f"routing.kind={dynamic.kind}", f"routing.sigma={dynamic.sigma}"),
            recipe=replace(base, routing=dynamic),
            trainer=Trainer,
        ),
    ]


def _linear(name: str, base: Recipe, *, direct: bool) -> StudyVariant:
    """The variant with a linear head. Its recipe has another name, since capsedge cannot build that network."""
    return StudyVariant(
        name=name,
        changes=(f"head={name}", "loss=cross-entropy"),
        recipe=replace(base, name=f"{base.name}-{name}", routing=RoutingRecipe(kind="frozen")),
        trainer=LinearTrainer,
        run=partial(LinearRun, direct=direct),
    )
