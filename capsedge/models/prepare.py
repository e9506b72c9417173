"""Preprocessing inside the network, before its first convolution: centre crop and per-image standardization.

Both are part of the network, so that training, evaluation and every exported file use the same pixels.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn


class Prepare(nn.Module):
    """From pixels of 0 to 1 to the input of the first convolution.

    Args:
        crop: Side of the square that is cut from the centre, in pixels; 0 keeps the whole image. An image that is
            already cropped, as in training, passes unchanged.
        standardize: Give each image mean 0 and standard deviation 1 over all of its pixels and channels. An image of
            one colour becomes 0: the deviation is at least 1 / sqrt(values) for a pixel range of 255, as in
            TensorFlow's `per_image_standardization`.
    """

    def __init__(self, *, crop: int = 0, standardize: bool = False) -> None:
        super().__init__()
        self.crop = crop
        self.standardize = standardize

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Prepared images."""
        if self.crop:
            top, left = ((side - self.crop) // 2 for side in images.shape[2:])
            images = images[:, :, top : top + self.crop, left : left + self.crop]
        if self.standardize:
            centred = images - images.mean((1, 2, 3), keepdim=True)
            deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
            values = math.prod(images.shape[1:])
            images = centred / deviation.clamp_min(1 / (255 * values**0.5))
        return images
