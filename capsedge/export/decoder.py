"""The decoder of an exported file: what the network makes of an image, drawn from its longest capsules."""

from copy import deepcopy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from capsedge.models.decoder import Decoder


class LongestDecoder(nn.Module):
    """The decoder behind its mask: each of the longest capsules is drawn from its pose alone (Sabour et al. 2017).

    In training the mask is the label's (section 4.1); here nobody knows it. The decoder was trained to draw images in
    NCHW order; the rows of its last layer are put into NHWC order, so the graph has no transposition.

    Args:
        decoder: As it was trained.
        labels: How many capsules are drawn.
        channels: Of an image.
        crop: Side of the square that the network cuts from an image and the decoder draws, in pixels; 0 for none.
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
        """Pixels of 0 to 1, before any standardization.

        Args:
            lengths: Of the class capsules; of two of one length the first class is drawn, as argmax has it.
            poses: The class capsules.
            shape: Height, width and channels of an image.

        Returns:
            [batch, height, width, channels]; [batch, labels, height, width, channels] where several capsules are
            drawn, the longest first.
        """
        height, width, channels = shape
        masked = torch.where(_longest(lengths, self.labels).unsqueeze(3), poses.unsqueeze(1), 0.0)
        drawn: Tensor = self.layers(masked.flatten(2).flatten(0, 1))  # two axes: each layer is one Gemm
        several = (self.labels,) if self.labels > 1 else ()
        return drawn.view(-1, *several, self.crop or height, self.crop or width, channels)


def _by_pixel(layer: nn.Linear, channels: int) -> nn.Linear:
    """The layer with its rows, which are ordered by channel and then pixel, ordered by pixel and then channel."""
    turned = deepcopy(layer)
    for rows in turned.parameters():
        rows.data = rows.data.view(channels, -1, *rows.shape[1:]).transpose(0, 1).reshape(rows.shape)
    return turned


def _longest(lengths: Float[Tensor, "batch classes"], labels: int) -> Bool[Tensor, "batch labels classes"]:
    """A mask for each of the longest capsules, longest first; of equals ArgMax takes the first, by its definition."""
    classes = torch.arange(lengths.shape[1], device=lengths.device)
    masks: list[Tensor] = []
    for _ in range(labels):
        masks.append(classes == lengths.argmax(1, keepdim=True))
        lengths = torch.where(masks[-1], -1.0, lengths)
    return torch.stack(masks, 1)
