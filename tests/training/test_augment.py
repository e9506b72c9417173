"""Variations of images against slow computations of one image at a time, and their draws against their bounds."""

import cmath
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from capsedge.data.counter import words
from capsedge.errors import WrongUse
from capsedge.recipe import DataRecipe
from capsedge.training.augment import (
    Augmentation,
    brightened,
    contrasted,
    cropped,
    erased,
    flipped,
    shifted,
    turned,
)

CIFAR = DataRecipe(crop=24, flip=True, brightness=63 / 255, contrast=0.8)
ALL = DataRecipe(shift=2, rotation=20, scale=0.2, crop=24, flip=True, brightness=63 / 255, contrast=0.8, erase=0.5)


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


def seen_at(image: NDArray[np.float64], row: int, column: int, degrees: float, factor: float) -> float:
    """One pixel of a turned and scaled image [height, width], by complex numbers with the imaginary axis upwards."""
    height, width = image.shape
    from_centre = complex(column - (width - 1) / 2, (height - 1) / 2 - row)
    source = from_centre / (factor * cmath.exp(1j * math.radians(degrees)))
    x, y = source.real + (width - 1) / 2, (height - 1) / 2 - source.imag
    total = 0.0
    for near_row in range(height):
        for near_column in range(width):
            total += max(0, 1 - abs(y - near_row)) * max(0, 1 - abs(x - near_column)) * image[near_row, near_column]
    return total


@pytest.mark.parametrize(("degrees", "factor"), [(0, 2), (0, 0.5), (90, 1), (30, 0.8), (-160, 1.3)])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 11), (7, 5)])
def test_turning_and_scaling_are_one_bilinear_resampling_about_the_centre(
    height: int, width: int, degrees: float, factor: float
) -> None:
    images = some(2, 2, height, width)
    moved = turned(images, torch.tensor([0.0, degrees]), torch.tensor([1.0, factor]))
    assert torch.equal(moved[0], images[0])
    for row in range(height):
        for column in range(width):
            expected = [seen_at(each.double().numpy(), row, column, degrees, factor) for each in images[1]]
            np.testing.assert_allclose(moved[1, :, row, column].numpy(), expected, atol=2e-6)


def noise_of(key: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """What splitmix64 makes of a key, a byte for each pixel."""
    count = math.prod(shape)
    drawn = words(key, np.arange(-(-count // 8))).astype("<u8").view(np.uint8)
    return (drawn[:count].reshape(shape) / 255).astype(np.float32)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 10), (3, 8, 10), (3, 5, 7)])
def test_an_erased_rectangle_is_the_noise_of_its_key_and_the_rest_is_untouched(
    channels: int, height: int, width: int
) -> None:
    images = some(4, channels, height, width)
    rectangles = [[1, 2, 3, 4], [0, 0, height, width], [2, 3, 0, 4], [height - 1, width - 1, 1, 1]]
    keys = [0, 2**63 - 2, 5, 0x1234_5678_9ABC_DEF0]
    results = erased(images, torch.tensor(rectangles), torch.tensor(keys))
    for image, result, (top, left, rows, columns), key in zip(images, results, rectangles, keys, strict=True):
        expected = image.numpy().copy()
        place = np.s_[:, top : top + rows, left : left + columns]
        expected[place] = noise_of(key, expected.shape)[place]
        np.testing.assert_array_equal(result.numpy(), expected)


def test_noise_is_even_from_black_to_white_and_differs_between_channels_and_keys() -> None:
    side = 96
    whole = torch.tensor([[0, 0, side, side]] * 8)
    noise = erased(torch.zeros(8, 3, side, side), whole, torch.arange(8))  # keys that are alike
    levels = torch.bincount((noise * 255).round().long().flatten(), minlength=256)
    assert len(levels) == 256
    expected = noise.numel() / 256
    assert ((levels - expected) ** 2 / expected).sum() < 340  # chi squared: 255 on average, 340 once in 4,000
    planes = noise.flatten(0, 1).flatten(1)  # image and channel
    between = torch.corrcoef(planes) - torch.eye(24)
    assert between.abs().max() < 0.05  # a standard deviation is 0.01
    for lag in (1, side):
        assert torch.corrcoef(torch.stack([planes[:, lag:].flatten(), planes[:, :-lag].flatten()]))[0, 1].abs() < 0.01


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


def test_turns_and_scales_fill_their_ranges_evenly() -> None:
    (rows,) = Augmentation(DataRecipe(rotation=30, scale=0.25), (28, 28, 1)).draw(20_000, generator())
    for values, low, high in ((rows[:, 0], -30, 30), (rows[:, 1], 0.75, 1.25)):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert torch.histc(values, 10, low, high).min() > 1800
    assert torch.corrcoef(rows.T)[0, 1].abs() < 0.03


@pytest.mark.parametrize(("recipe", "degrees", "factors"), [("rotation", 40, 0), ("scale", 0, 0.4)])
def test_a_turn_alone_scales_nothing_and_a_scale_alone_turns_nothing(
    recipe: str, degrees: float, factors: float
) -> None:
    asked = DataRecipe(rotation=40) if recipe == "rotation" else DataRecipe(scale=0.4)
    (rows,) = Augmentation(asked, (28, 28, 1)).draw(1000, generator())
    assert rows[:, 0].abs().max().item() == pytest.approx(degrees, rel=0.02)
    assert (rows[:, 1] - 1).abs().max().item() == pytest.approx(factors, rel=0.02)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 48), (100, 20), (9, 9)])
def test_an_erased_rectangle_has_the_area_and_the_shape_of_the_paper_and_lies_within_the_image(
    height: int, width: int
) -> None:
    (rows,) = Augmentation(DataRecipe(erase=1), (height, width, 1)).draw(20_000, generator())
    tops, lefts, heights, widths, keys = rows.numpy().T
    areas = heights * widths / (height * width)
    ratios = heights / widths
    assert 0.02 <= areas.min() < 0.04
    assert 0.3 < areas.max() <= 0.33  # 25 of 9x9 pixels: 26 = 2 * 13 is no rectangle within
    assert ratios.min() >= 0.3
    assert ratios.max() <= 1 / 0.3
    for starts, sizes, side in ((tops, heights, height), (lefts, widths, width)):
        ends = starts + sizes
        assert (starts.min(), ends.max()) == (0, side)
        room = side - sizes
        assert (starts[room > 0] / room[room > 0]).mean() == pytest.approx(0.5, abs=0.01)
    assert len(np.unique(keys)) == 20_000


def test_areas_and_logarithms_of_aspect_ratios_are_drawn_evenly() -> None:
    (rows,) = Augmentation(DataRecipe(erase=1), (400, 400, 1)).draw(20_000, generator())
    heights, widths = rows[:, 2].double(), rows[:, 3].double()
    areas = heights * widths / 400**2
    # Above 0.3 of the area, the longest rectangles do not fit.
    assert torch.histc(areas[areas < 0.3], 10, 0.02, 0.3).min() > 0.9 * 20_000 * (0.28 / 10) / 0.31
    assert torch.histc((heights / widths).log(), 10, math.log(0.3), -math.log(0.3)).min() > 1800


def test_the_share_of_images_that_is_asked_for_is_erased_and_no_pixel_more() -> None:
    augmentation = Augmentation(DataRecipe(erase=0.3), (28, 28, 3))
    images = torch.full((4000, 3, 28, 28), 0.3333)  # a value that no noise has
    draws = augmentation.draw(4000, generator())
    changed = augmentation(images, draws) != images
    assert torch.equal(changed.all(1), changed.any(1))  # all channels of a pixel, or none
    areas = changed[:, 0].float().mean((1, 2))
    hit = areas > 0
    assert hit.float().mean().item() == pytest.approx(0.3, abs=0.025)
    assert areas[hit].min() >= 0.02
    assert areas.max() <= 0.33
    for pixels in changed[hit][:200, 0]:
        rows, columns = (pixels.any(dim).nonzero() for dim in (1, 0))
        assert pixels.sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)  # one full rectangle
    assert Augmentation(DataRecipe(erase=1), (28, 28, 3)).draw(500, generator())[0][:, 2].min() > 0


def test_after_a_crop_the_rectangle_is_one_of_the_smaller_image() -> None:
    _, rows = Augmentation(DataRecipe(crop=10, erase=1), (32, 30, 3)).draw(5000, generator())
    assert (rows[:, :2] + rows[:, 2:4]).amax(0).tolist() == [10, 10]
    assert (rows[:, 2] * rows[:, 3]).max().item() == 32  # 33 of 100 pixels, and 33 = 3 * 11 is no rectangle within


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 2000)])
def test_an_image_that_no_rectangle_fits_is_wrong_use(height: int, width: int) -> None:
    with pytest.raises(
        WrongUse, match=rf"data\.erase: expected .* got {height}x{width} pixels: leave out data.erase"
    ):
        Augmentation(DataRecipe(erase=0.5), (height, width, 1))


def test_a_shift_draws_every_offset_up_to_its_reach() -> None:
    (offsets,) = Augmentation(DataRecipe(shift=2), (28, 28, 1)).draw(5000, generator())
    assert torch.unique(offsets, dim=0).shape == (25, 2)
    assert (offsets.min().item(), offsets.max().item()) == (-2, 2)


def test_a_recipe_without_variations_changes_nothing() -> None:
    augmentation = Augmentation(DataRecipe(), (8, 10, 3))
    images = 3 * some()
    assert torch.equal(augmentation(images, augmentation.draw(5, generator())), images)


def test_variations_follow_one_another_from_the_shift_to_the_erasing() -> None:
    images = some(40, 3, 32, 32)
    augmentation = Augmentation(ALL, (32, 32, 3))
    draws = augmentation.draw(40, generator())
    offsets, turns, corners, mirrored, amounts, factors, rectangles = draws
    moved = cropped(turned(shifted(images, offsets), turns[:, 0], turns[:, 1]), corners, side=24)
    bright = contrasted(brightened(flipped(moved, mirrored), amounts), factors)
    expected = erased(bright.clamp(0, 1), rectangles[:, :4], rectangles[:, 4])
    assert torch.equal(augmentation(images, draws), expected)


def test_recipes_without_turns_and_erasing_draw_what_they_always_drew() -> None:
    source = generator(3)
    offsets = torch.randint(-2, 3, (50, 2), generator=source)
    corners = torch.stack([torch.randint(room, (50,), generator=source) for room in (9, 7)], 1)
    mirrored = torch.randint(2, (50,), generator=source) == 1
    amounts = 0.2 * (2 * torch.rand(50, generator=source) - 1)
    factors = 1 + 0.5 * (2 * torch.rand(50, generator=source) - 1)
    recipe = DataRecipe(shift=2, crop=24, flip=True, brightness=0.2, contrast=0.5)
    drawn = Augmentation(recipe, (32, 30, 3)).draw(50, generator(3))
    for one, two in zip(drawn, (offsets, corners, mirrored, amounts, factors), strict=True):
        assert torch.equal(one, two)
