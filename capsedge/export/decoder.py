"""The decoder of an exported file: reconstructs the image from the longest capsules."""

from copy import deepcopy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from capsedge.models.decoder import Decoder


class LongestDecoder(nn.Module):
    """The decoder with its mask: one reconstruction from the pose of each longest capsule (Sabour et al. 2017).

    In training the mask selects the label's capsule (section 4.1); in inference the label is unknown. The decoder was
    trained on images in NCHW order; the rows of its last layer are reordered to NHWC, so the graph has no
    transposition.

    Args:
        decoder: The trained decoder.
        labels: Number of capsules to reconstruct from.
        channels: Channels of an image.
        crop: Side in pixels of the square that the network crops from an image and the decoder reconstructs; 0 for no
            crop.
    """

    def __init__(self, decoder: Decoder, *, labels: int, channels: int, crop: int = 0) -> None:
        super().__init__()
        *hidden, last, sigmoid = decoder.layers
        assert isinstance(last, nn.Linear)
        self.layers = nn.Sequential(*hidden, _by_pixel(last, channels), sigmoid)
        self.labels = labels
        self.crop = crop

    def forward(
        self,
        lengths: Float[Tensor, "batch classes"],
        poses: Float[Tensor, "batch classes class_dim"],
        shape: tuple[int, int, int],
    ) -> Tensor:
        """Reconstruct pixels, 0 to 1, before any standardization.

        Args:
            lengths: Lengths of the class capsules; of two equal lengths the first class is chosen, as by argmax.
            poses: The class capsules.
            shape: Height, width and channels of an image.

        Returns:
            [batch, height, width, channels]; with several labels [batch, labels, height, width, channels], the
            longest capsule first.
        """
        height, width, channels = shape
        masked = torch.where(_longest(lengths, self.labels).unsqueeze(3), poses.unsqueeze(1), 0.0)
        drawn: Tensor = self.layers(masked.flatten(2).flatten(0, 1))  # two axes: each layer is one Gemm
        several = (self.labels,) if self.labels > 1 else ()
        return drawn.view(-1, *several, self.crop or height, self.crop or width, channels)


def _by_pixel(layer: nn.Linear, channels: int) -> nn.Linear:
    """The layer with its rows reordered from channel-major to pixel-major."""
    reordered = deepcopy(layer)
    for rows in reordered.parameters():
        rows.data = rows.data.view(channels, -1, *rows.shape[1:]).transpose(0, 1).reshape(rows.shape)
    return reordered


def _longest(lengths: Float[Tensor, "batch classes"], labels: int) -> Bool[Tensor, "batch labels classes"]:
    """One mask for each of the longest capsules, longest first; of equal lengths ArgMax takes the first class."""
    classes = torch.arange(lengths.shape[1], device=lengths.device)
    masks: list[Tensor] = []
    for _ in range(labels):
        masks.append(classes == lengths.argmax(1, keepdim=True))
        lengths = torch.where(masks[-1], -1.0, lengths)
    return torch.stack(masks, 1)
