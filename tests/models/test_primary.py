"""Primary capsules: which numbers of the convolution make one capsule."""

import torch

from capsedge.models.convolution import Convolution
from capsedge.models.primary import PrimaryCapsules


def test_a_capsule_is_consecutive_channels_at_one_position() -> None:
    torch.manual_seed(0)
    types, dim = 3, 4
    layer = PrimaryCapsules(conv=Convolution(2, types * dim, 3, side=(9, 7), stride=2), types=types, dim=dim)
    features = torch.randn(2, 2, 9, 7)
    capsules = layer(features)
    maps = layer.conv(features).double()
    height, width = maps.shape[2:]
    assert capsules.shape == (2, types * height * width, dim)
    for image in range(2):
        number = 0
        for kind in range(types):
            for row in range(height):
                for column in range(width):
                    vector = maps[image, kind * dim : (kind + 1) * dim, row, column]
                    norm = vector.square().sum().sqrt()
                    expected = norm**2 / (1 + norm**2) * vector / norm
                    torch.testing.assert_close(capsules[image, number].double(), expected, atol=1e-6, rtol=1e-5)
                    number += 1
