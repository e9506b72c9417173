"""Routing whose coefficients are trained by the margin loss, as the weights are: the objective's ablation."""

from torch import nn

from capsedge.models.routing.static import StaticRouting


class BackpropRouting(StaticRouting):
    """Static routing (eq 6) with b as a parameter.

    Only the product of b and W reaches the output, so b adds no expressive power; it only changes the optimization.

    Args:
        capsules: Number I of primary capsules.
        dim: Components D of a primary capsule.
        classes: Number J of class capsules.
        class_dim: Components K of a class capsule.
        b0: Initial value of every coefficient.
        sigma: Standard deviation of the initial weights.
    """

    def __init__(
        self, *, capsules: int, dim: int, classes: int, class_dim: int, b0: float = 1.0, sigma: float = 0.02
    ) -> None:
        super().__init__(capsules=capsules, dim=dim, classes=classes, class_dim=class_dim, b0=b0, sigma=sigma)
        b = self.b
        del self.b
        self.b = nn.Parameter(b)
