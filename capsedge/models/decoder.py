"""The reconstruction network: fully connected layers from the masked class capsules to the pixels (Table I)."""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class Decoder(nn.Module):
    """FC1 to FC3 of Table I: ReLU, ReLU, sigmoid.

    Args:
        inputs: Components of all class capsules together.
        hidden: Widths of the hidden layers.
        pixels: Height x width x channels of an image.
    """

    def __init__(self, *, inputs: int, hidden: Sequence[int], pixels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise((inputs, *hidden)):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], pixels), nn.Sigmoid())

    def forward(
        self, poses: Float[Tensor, "batch classes class_dim"], mask: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, "batch pixels"]:
        """Pixels of 0 to 1, in the order of the flattened input image.

        Args:
            poses: Squashed class capsules.
            mask: 1 for the capsule to reconstruct (the label's in training, the longest at inference), else 0.
        """
        reconstruction: Tensor = self.layers((poses * mask.unsqueeze(2)).flatten(1))
        return reconstruction
