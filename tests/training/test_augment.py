"""Variations of images against slow computations of one image at a time, and their draws against their bounds."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from capsedge.recipe import DataRecipe
from capsedge.training.augment import Augmentation, brightened, contrasted, cropped, flipped, shifted

CIFAR = DataRecipe(crop=24, flip=True, brightness=63 / 255, contrast=0.8)


def some(count: int = 5, channels: int = 3, height: int = 8, width: int = 10) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_shift_moves_an_image_and_brings_in_black() -> None:
    images = torch.rand(3, 2, 5, 6)
    moved = shifted(images, torch.tensor([[1, -2], [0, 0], [-2, 1]]))
    expected = torch.zeros_like(images)
    expected[0, :, 1:, :-2] = images[0, :, :-1, 2:]
    expected[1] = images[1]
    expected[2, :, :-2, 1:] = images[2, :, 2:, :-1]
    assert torch.equal(moved, expected)


def test_a_shift_may_move_an_image_out_of_sight() -> None:
    moved = shifted(torch.rand(3, 1, 4, 4), torch.tensor([[4, 0], [0, -9], [3, 3]]))
    assert moved[:2].abs().max() == 0
    assert (moved[2] > 0).sum() == 1


def test_a_crop_is_the_square_that_begins_at_its_corner() -> None:
    images = some()
    corners = torch.tensor([[0, 0], [4, 6], [1, 5], [3, 0], [2, 2]])
    squares = cropped(images, corners, side=4)
    for square, image, (top, left) in zip(squares, images, corners.tolist(), strict=True):
        assert torch.equal(square, image[:, top : top + 4, left : left + 4])


def test_a_flip_mirrors_left_and_right_where_it_is_asked() -> None:
    images = some(2)
    one, two = flipped(images, torch.tensor([True, False]))
    assert torch.equal(two, images[1])
    for x in range(10):
        assert torch.equal(one[:, :, x], images[0, :, :, 9 - x])


def test_brightness_and_contrast_are_those_of_their_definitions_in_double_precision() -> None:
    images = some()
    amounts, factors = torch.linspace(-0.4, 0.4, 5), torch.linspace(0.2, 1.8, 5)
    bright, sharp = brightened(images, amounts), contrasted(images, factors)
    for at in range(5):
        image = images[at].double().numpy()
        np.testing.assert_allclose(bright[at].numpy(), image + float(amounts[at]), atol=1e-6)
        for channel in range(3):
            mean = sum(image[channel].ravel().tolist()) / 80
            expected = (image[channel] - mean) * float(factors[at]) + mean
            np.testing.assert_allclose(sharp[at, channel].numpy(), expected, atol=1e-6)


def one_by_one(image: NDArray[np.float64], rows: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """CIFAR-10's four variations of one image, in order, in double precision."""
    corner, mirrored, amount, factor = rows
    top, left = corner.astype(int)
    image = image[:, top : top + 24, left : left + 24]
    if mirrored:
        image = image[:, :, ::-1]
    image = image + amount
    means = image.mean(axis=(1, 2))[:, None, None]
    return np.asarray(np.clip((image - means) * factor + means, 0, 1), dtype=np.float64)


def test_a_recipes_variations_follow_one_another_and_end_within_the_range_of_pixels() -> None:
    images = some(50, 3, 32, 32)
    augmentation = Augmentation(CIFAR, (32, 32, 3))
    draws = augmentation.draw(50, generator())
    varied = augmentation(images, draws)
    assert varied.shape == (50, 3, 24, 24)
    for at in range(50):
        expected = one_by_one(images[at].double().numpy(), [each[at].double().numpy() for each in draws])
        np.testing.assert_allclose(varied[at].numpy(), expected, atol=2e-6)
    assert (varied.min().item(), varied.max().item()) == (0, 1)


def test_draws_fill_their_ranges_evenly() -> None:
    corners, mirrored, amounts, factors = Augmentation(CIFAR, (32, 30, 3)).draw(20_000, generator())
    for column, room in ((0, 9), (1, 7)):
        counts = torch.bincount(corners[:, column])
        assert len(counts) == room
        assert counts.min() > 0.9 * 20_000 / room
    assert mirrored.dtype == torch.bool
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.015)
    for values, low, high in ((amounts, -63 / 255, 63 / 255), (factors, 0.2, 1.8)):
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high
        assert torch.histc(values, 10, low, high).min() > 1800


def test_a_shift_draws_every_offset_up_to_its_reach() -> None:
    (offsets,) = Augmentation(DataRecipe(shift=2), (28, 28, 1)).draw(5000, generator())
    assert torch.unique(offsets, dim=0).shape == (25, 2)
    assert (offsets.min().item(), offsets.max().item()) == (-2, 2)


def test_a_recipe_without_variations_changes_nothing() -> None:
    augmentation = Augmentation(DataRecipe(), (8, 10, 3))
    images = 3 * some()
    assert torch.equal(augmentation(images, augmentation.draw(5, generator())), images)


@pytest.mark.parametrize("recipe", [CIFAR, DataRecipe(shift=3)])
def test_no_images_are_none_after_it(recipe: DataRecipe) -> None:
    augmentation = Augmentation(recipe, (32, 32, 3))
    varied = augmentation(some(0, 3, 32, 32), augmentation.draw(0, generator()))
    assert varied.shape[:2] == (0, 3)


def test_no_part_of_an_image_reaches_another() -> None:
    augmentation = Augmentation(CIFAR, (32, 32, 3))
    images = some(6, 3, 32, 32)
    draws = augmentation.draw(6, generator())
    whole = augmentation(images, draws)
    half = augmentation(images[1::2], [each[1::2] for each in draws])
    assert torch.equal(whole[1::2], half)
