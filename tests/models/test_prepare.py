"""Crop and standardization, image by image in float64."""

import math

import torch

from capsedge.models.prepare import Prepare


def test_standardization_gives_each_image_mean_0_and_deviation_1_over_all_its_values() -> None:
    images = torch.rand(3, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    found = Prepare(standardize=True)(images)
    for image, standard in zip(images.double(), found, strict=True):
        values = image.flatten().tolist()
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        torch.testing.assert_close(standard.double(), (image - mean) / deviation, atol=1e-5, rtol=1e-5)


def test_an_image_of_one_colour_becomes_0_and_a_nearly_plain_one_is_not_blown_up() -> None:
    plain = torch.full((1, 1, 4, 4), 0.7)
    assert Prepare(standardize=True)(plain).abs().max() < 1e-3
    specked = plain.clone()
    specked[0, 0, 0, 0] += 1 / 255  # deviation 0.24 of 255, below the floor of 1 / sqrt(16)
    expected = (specked - specked.mean()) * 255 * 4
    torch.testing.assert_close(Prepare(standardize=True)(specked), expected, atol=1e-3, rtol=1e-3)


def test_the_crop_is_the_centre_and_cropped_images_pass_unchanged() -> None:
    images = torch.arange(2 * 8 * 9, dtype=torch.float32).view(2, 1, 8, 9)
    assert torch.equal(Prepare(crop=4)(images), images[:, :, 2:6, 2:6])
    cropped = images[:, :, :4, :4]
    assert torch.equal(Prepare(crop=4)(cropped), cropped)
    assert torch.equal(Prepare()(images), images)
