"""A tiny network whose stem has batch normalization."""

from msgspec.structs import replace

from capsedge.recipe import Recipe
from tests.tiny import tiny_recipe


def residual_recipe(*overrides: str, base: str = "fashion-mnist-l2-small") -> Recipe:
    """As `tiny_recipe`, with a residual stem of two blocks: five normalizations, of a few thousand weights."""
    recipe = tiny_recipe(*overrides, base=base)
    network = replace(
        recipe.network, stem="residual", blocks=((8, 2), (12, 2)), primary_kernel=3, primary_stride=2, capsule_types=2
    )
    return replace(recipe, network=network)
