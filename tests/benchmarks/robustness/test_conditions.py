"""What a condition does to images, by slices, single pixels and formulas of their own."""

import math

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.robustness.conditions import (
    BATCH,
    CONDITIONS,
    Condition,
    affine,
    blur,
    blurred,
    clean,
    matrices_of,
    noise,
    room,
    rotation,
    shift,
    transformed,
    varied,
)
from capsedge.data import Dataset, Split
from capsedge.training.augment import turned

Pixels = NDArray[np.uint8]
NAMES = [f"{each.kind} {each.amount}" for each in CONDITIONS]


def moved(image: Pixels, down: int, right: int) -> Pixels:
    """An image moved by slices, with black where nothing was."""
    height, width = image.shape[:2]
    result = np.zeros_like(image)
    result[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = image[
        max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)
    ]
    return result


def dot(right: int, down: int, side: int = 15) -> Tensor:
    """One white pixel, so far from the centre of a black image."""
    image = torch.zeros(1, 1, side, side)
    image[0, 0, side // 2 + down, side // 2 + right] = 1
    return image


def of(degrees: float = 0.0, shear: float = 0.0, width: float = 1.0, height: float = 1.0) -> Tensor:
    return matrices_of(torch.tensor([degrees]), torch.tensor([shear]), torch.tensor([[width, height]]))


def test_the_images_as_they_are_stay_as_they_are(some: Split) -> None:
    for same in (clean(), shift(0), rotation(0.0), noise(0.0)):
        assert np.array_equal(varied(some.images, same, seed=3), some.images), same.kind


@pytest.mark.parametrize("pixels", [1, 3])
def test_a_shift_goes_so_many_pixels_in_each_of_eight_directions(some: Split, pixels: int) -> None:
    ways = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
    taken = []
    for image, result in zip(some.images, varied(some.images, shift(pixels), seed=0), strict=True):
        fitting = [way for way in ways if np.array_equal(result, moved(image, pixels * way[0], pixels * way[1]))]
        assert len(fitting) == 1
        taken += fitting

    assert set(taken) == set(ways)


def test_a_rotation_goes_either_way(some: Split, images: Tensor) -> None:
    result = varied(some.images, rotation(15.0), seed=0)

    count = len(images)
    both = [turned(images, torch.full((count,), degrees), torch.ones(count)) for degrees in (15.0, -15.0)]
    left, right = ((each * 255).round().byte().permute(0, 2, 3, 1).numpy() for each in both)
    ways = [
        (bool((each == one).all()), bool((each == other).all()))
        for each, one, other in zip(result, left, right, strict=True)
    ]
    assert set(ways) == {(True, False), (False, True)}


def test_a_turn_alone_is_the_turn_of_training(images: Tensor) -> None:
    degrees = torch.linspace(-180, 180, len(images))
    matrices = matrices_of(degrees, torch.zeros(len(images)), torch.ones(len(images), 2))

    result = transformed(images, matrices, torch.zeros(len(images), 2))

    assert torch.allclose(result, turned(images, degrees, torch.ones(len(images))), atol=1e-4)


def test_a_move_alone_goes_right_and_down(some: Split, images: Tensor) -> None:
    result = transformed(images, torch.eye(2).repeat(len(images), 1, 1), torch.tensor([[3.0, -2.0]] * len(images)))

    wanted = np.stack([moved(image, -2, 3) for image in some.images])
    assert np.array_equal((result * 255).round().byte().permute(0, 2, 3, 1).numpy(), wanted)


@pytest.mark.parametrize(
    ("matrix", "start", "end"),
    [
        (of(degrees=90.0), (3, 0), (0, -3)),  # counterclockwise: from the right to the top
        (of(shear=0.5), (0, 4), (2, 4)),
        (of(shear=0.5), (3, 0), (3, 0)),
        (of(width=2.0), (2, 3), (4, 3)),
        (of(height=2.0), (2, 3), (2, 6)),
        (of(width=2.0, shear=1.0), (1, 2), (4, 2)),  # scaled before it is sheared
        (of(degrees=90.0, shear=1.0), (0, 2), (2, -2)),  # sheared to (2, 2) before it is turned
    ],
)
def test_a_pixel_goes_where_the_matrix_sends_it(matrix: Tensor, start: tuple[int, int], end: tuple[int, int]) -> None:
    result = transformed(dot(*start), matrix, torch.zeros(1, 2))

    brightest = int(result.argmax())
    assert (brightest % 15 - 7, brightest // 15 - 7) == end
    assert result.max() == pytest.approx(1, abs=1e-5)


def test_what_fits_into_the_frame_stays_in_it_and_what_does_not_fills_it() -> None:
    random = RandomState(0)
    images = torch.zeros(200, 1, 28, 28)
    ends = []
    for image in images:
        (top, bottom), (left, right) = (np.sort(random.choice(28, 2, replace=False)) for _ in range(2))
        image[0, top : bottom + 1, left : right + 1] = 0.5
        ends.append(((top - 13.5, bottom - 13.5), (left - 13.5, right - 13.5)))
    draws = torch.from_numpy(random.uniform(-1, 1, (200, 4))).float()
    matrices = matrices_of(20 * draws[:, 0], 0.2 * draws[:, 1], 1 + 0.2 * draws[:, 2:])

    low, high = room(images, matrices)

    assert (low <= high).all()
    assert low.min() >= -3
    assert high.max() <= 3
    fitted = 0
    for matrix, (rows, columns), *moves in zip(matrices.numpy(), ends, low.numpy(), high.numpy(), strict=True):
        corners = np.array([matrix @ (right, down) for right in columns for down in rows])
        for axis in range(2):
            first, last = corners[:, axis].min(), corners[:, axis].max()
            span = last - first
            for move in (each[axis] for each in moves):
                if span <= 27 and abs(move) < 3:  # all of it is inside, and at one end of the room it touches
                    fitted += 1
                    assert first + move >= -13.5 - 1e-4
                    assert last + move <= 13.5 + 1e-4
                elif span > 27 and abs(move) < 3:
                    assert first + move <= -13.5 + 1e-4
                    assert last + move >= 13.5 - 1e-4
    assert fitted > 50


def test_the_room_ends_where_the_object_touches_the_frame() -> None:
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 2:20, 1:28] = 1  # 2 rows above, 8 below; 1 column to the left, none to the right

    low, high = room(image, of())

    assert low.tolist() == [[-1, -2]]
    assert high.tolist() == [[0, 3]]


def test_an_affine_image_that_is_drawn_in_the_middle_of_every_range_is_the_image() -> None:
    class Middle(RandomState):
        def uniform(self, *_: object) -> NDArray[np.float64]:  # type: ignore[override]
            return np.zeros((5, 6))

    images = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0)) + 0.01  # no black, so no move

    assert torch.allclose(affine().vary(images, Middle(0)), images, atol=1e-5)


def test_affine_images_are_turned_sheared_scaled_and_moved(images: Tensor) -> None:
    """Each of the six draws matters, and they go as far as affNIST's."""
    small = torch.nn.functional.pad(images[:1, :, 7:21, 7:21], (7, 7, 7, 7))

    def made(*draws: float) -> Tensor:
        class Fixed(RandomState):
            def uniform(self, *_: object) -> NDArray[np.float64]:  # type: ignore[override]
                return np.array([draws])

        return affine().vary(small, Fixed(0))

    def wanted(matrix: Tensor, right: float = 0.0, down: float = 0.0) -> Tensor:
        return transformed(small, matrix, torch.tensor([[right, down]]))

    for draws, matrix in (
        ((1, 0, 0, 0, 0, 0), of(degrees=20)),
        ((0, -1, 0, 0, 0, 0), of(shear=-0.2)),
        ((0, 0, 1, 0, 0, 0), of(width=1.2)),
        ((0, 0, 0, -1, 0, 0), of(height=0.8)),
    ):
        assert torch.allclose(made(*draws), wanted(matrix), atol=1e-4)
    assert torch.allclose(made(0, 0, 0, 0, 1, 0), wanted(of(), right=3), atol=1e-4)
    assert torch.allclose(made(0, 0, 0, 0, 0, -1), wanted(of(), down=-3), atol=1e-4)


def test_noise_has_its_deviation_and_is_cut_to_black_and_white() -> None:
    grey, black = (np.full((60, 28, 28, 1), value, np.uint8) for value in (128, 0))

    added = varied(grey, noise(0.1), seed=0).astype(float) - 128
    cut = varied(black, noise(0.1), seed=0)

    assert added.std() == pytest.approx(25.5, rel=0.02)
    assert added.mean() == pytest.approx(0, abs=0.5)
    assert (cut == 0).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_a_blurred_image_of_one_grey_is_the_image(sigma: float) -> None:
    grey = np.full((2, 28, 28, 3), (10, 128, 255), np.uint8)

    assert np.array_equal(varied(grey, blur(sigma), seed=0), grey)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_a_blurred_pixel_is_a_gaussian(sigma: float) -> None:
    result = blurred(dot(0, 0, side=41), sigma)[0, 0]

    assert result.sum() == pytest.approx(1, abs=1e-5)
    for right, down in ((1, 0), (0, 1), (1, 1), (0, 2)):
        wanted = math.exp(-(right**2 + down**2) / (2 * sigma**2))
        assert result[20 + down, 20 + right] / result[20, 20] == pytest.approx(wanted, rel=1e-4)


def test_each_channel_is_blurred_on_its_own() -> None:
    images = torch.cat([dot(0, 0), dot(1, 2), torch.zeros(1, 1, 15, 15)], dim=1)

    result = blurred(images, 1.0)

    for channel in range(3):
        assert torch.equal(result[:, channel : channel + 1], blurred(images[:, channel : channel + 1], 1.0))


@pytest.mark.parametrize("condition", CONDITIONS, ids=NAMES)
def test_a_condition_is_a_function_of_the_seed_and_the_image_alone(condition: Condition, subset: Dataset) -> None:
    images = subset.test.images[:260]  # of more than one batch

    result = varied(images, condition, seed=1)

    assert result.dtype == np.uint8
    assert result.shape == images.shape
    assert np.array_equal(varied(images, condition, seed=1), result)
    assert np.array_equal(varied(images[:253], condition, seed=1), result[:253])
    random = condition.kind not in ("clean", "blur")
    assert np.array_equal(varied(images, condition, seed=2), result) is not random


def test_the_images_of_a_later_batch_have_draws_of_their_own() -> None:
    grey = np.full((2 * BATCH, 4, 4, 1), 128, np.uint8)

    first, second = np.split(varied(grey, noise(0.1), seed=0), 2)

    assert not (first == second).all((1, 2, 3)).any()


def test_the_amounts_of_one_kind_share_their_draws() -> None:
    image = np.zeros((30, 28, 28, 1), np.uint8)
    image[:, 14, 14] = 255

    once, twice = (np.argwhere(varied(image, shift(pixels), seed=0))[:, 1:3] - 14 for pixels in (1, 2))

    assert np.array_equal(twice, 2 * once)
