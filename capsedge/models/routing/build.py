"""From a routing kind to its layer."""

from capsedge.models.routing.backprop import BackpropRouting
from capsedge.models.routing.dynamic import DynamicRouting
from capsedge.models.routing.em import EMRouting
from capsedge.models.routing.kl import KLRouting
from capsedge.models.routing.static import StaticRouting
from capsedge.recipe import RoutingRecipe

Routing = StaticRouting | DynamicRouting | KLRouting | EMRouting


def routing_layer(recipe: RoutingRecipe, *, below: tuple[int, int], above: tuple[int, int]) -> Routing:
    """Make the routing layer between two capsule layers.

    Args:
        recipe: Kind, initial values, iterations.
        below: Capsules, and components of each, that come in.
        above: Capsules, and components of each, that go out.

    Raises:
        WrongUse: The kind cannot route capsules of these dimensions.
    """
    (capsules, dim), (classes, class_dim) = below, above
    sizes = {"capsules": capsules, "dim": dim, "classes": classes, "class_dim": class_dim}
    match recipe.kind:
        case "dynamic":
            return DynamicRouting(**sizes, iterations=recipe.iterations, sigma=recipe.sigma)
        case "kl":
            return KLRouting(
                **sizes, iterations=recipe.iterations, sigma=recipe.sigma, temperature=recipe.temperature
            )
        case "em":
            return EMRouting(
                **sizes, iterations=recipe.iterations, sigma=recipe.sigma, temperature=recipe.temperature
            )
        case "backprop":
            return BackpropRouting(**sizes, b0=recipe.b0, sigma=recipe.sigma)
        case _:
            return StaticRouting(**sizes, b0=recipe.b0, sigma=recipe.sigma)
