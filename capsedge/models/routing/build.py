"""Builds the routing layer of a recipe."""

from msgspec.structs import replace

from capsedge.models.routing.backprop import BackpropRouting
from capsedge.models.routing.dynamic import DynamicRouting
from capsedge.models.routing.em import EMRouting
from capsedge.models.routing.kl import KLRouting
from capsedge.models.routing.static import StaticRouting
from capsedge.recipe import RoutingRecipe

MOST_AT_ONE = 300  # primary capsules up to which b = 1 trains; measured: 288 do, 1,152 do not (decision 0009)
SUM = 115.2  # b0 times the number of primary capsules above that: 0.1 at Table I's 1,152

Routing = StaticRouting | DynamicRouting | KLRouting | EMRouting


# The input of a deeper routing layer is a few capsules that squash has shortened. With the first layer's sigma its
# output would be so short that the gradient vanishes. With this factor a network of two hidden layers trains, without
# it not.
DEEPER = 5.0


def with_b0(recipe: RoutingRecipe, capsules: int) -> RoutingRecipe:
    """The recipe with a number for `b0` where its kind has such coefficients and it leaves `b0` open.

    The rate of the routing step is scaled with it, since Adam's step on b has a fixed length. A step of plain ascent
    scales by itself. `backprop` has no routing step, and its b keeps the rate of the weights.

    Args:
        recipe: Any routing recipe.
        capsules: Number of primary capsules.
    """
    if recipe.b0 or recipe.kind not in ("l2", "l1", "frozen", "backprop"):
        return recipe
    if capsules <= MOST_AT_ONE:
        return replace(recipe, b0=1.0)
    b0 = SUM / capsules
    scaled = recipe.kind in ("l2", "l1") and recipe.step == "adam"
    rate = recipe.learning_rate * (b0 if scaled else 1)
    return replace(recipe, b0=float(f"{b0:.3g}"), learning_rate=float(f"{rate:.3g}"))


def routing_layer(
    recipe: RoutingRecipe, *, below: tuple[int, int], above: tuple[int, int], depth: int = 0
) -> Routing:
    """Build the routing layer between two capsule layers.

    Args:
        recipe: Kind, initial values, iterations; `b0` not 0.
        below: Number of input capsules, and components of each.
        above: Number of output capsules, and components of each.
        depth: Routing layers below this one.

    Raises:
        WrongUse: The kind cannot route capsules of these dimensions.
    """
    (capsules, dim), (classes, class_dim) = below, above
    sigma = recipe.sigma * DEEPER if depth else recipe.sigma
    sizes = {"capsules": capsules, "dim": dim, "classes": classes, "class_dim": class_dim}
    match recipe.kind:
        case "dynamic":
            shared = classes if depth else 1  # softmax divides each capsule among the capsules above
            return DynamicRouting(**sizes, iterations=recipe.iterations, sigma=sigma * shared)
        case "kl":
            return KLRouting(
                **sizes, iterations=recipe.iterations, sigma=recipe.sigma, temperature=recipe.temperature
            )
        case "em":
            return EMRouting(
                **sizes, iterations=recipe.iterations, sigma=recipe.sigma, temperature=recipe.temperature
            )
        case "backprop":
            return BackpropRouting(**sizes, b0=recipe.b0, sigma=sigma)
        case _:
            return StaticRouting(**sizes, b0=recipe.b0, sigma=sigma)
