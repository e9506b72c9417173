"""Builds the routing layer of a recipe."""

from capsedge.models.routing.backprop import BackpropRouting
from capsedge.models.routing.dynamic import DynamicRouting
from capsedge.models.routing.em import EMRouting
from capsedge.models.routing.kl import KLRouting
from capsedge.models.routing.static import StaticRouting
from capsedge.recipe import RoutingRecipe

Routing = StaticRouting | DynamicRouting | KLRouting | EMRouting


# The input of a deeper routing layer is a few capsules that squash has shortened. With the first layer's sigma its
# output would be so short that the gradient vanishes. With this factor a network of two hidden layers trains, without
# it not.
DEEPER = 5.0


def routing_layer(
    recipe: RoutingRecipe, *, below: tuple[int, int], above: tuple[int, int], depth: int = 0
) -> Routing:
    """Build the routing layer between two capsule layers.

    Args:
        recipe: Kind, initial values, iterations.
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
