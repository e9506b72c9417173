"""What is usual of images, against the same figures one by one, and on real images that are and are not so."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data import Split, load_dataset
from capsedge.runtime.infer.usual import distances_of, figures_of, unlike, usual_of

Images = NDArray[np.uint8]
RANDOM = np.random.default_rng(0)


def by_hand(image: Images) -> list[float]:
    """The figures of an image in colour of 8x8, pixel by pixel."""
    grey = [[sum(map(int, pixel)) / 3 / 255 for pixel in row] for row in image]
    flat = [value for row in grey for value in row]
    mean = sum(flat) / 64
    contrast = math.sqrt(sum((value - mean) ** 2 for value in flat) / 64)
    steps = sum(abs(grey[y + 1][x] - grey[y][x]) for y in range(7) for x in range(8))
    steps += sum(abs(grey[y][x + 1] - grey[y][x]) for y in range(8) for x in range(7))
    edge = [grey[y][x] for y in range(8) for x in range(8) if y in (0, 7) or x in (0, 7)]
    shades = [math.sqrt(sum(min(int(value * 8), 7) == shade for value in flat) / 64) for shade in range(8)]
    tiles = [
        sum(grey[y + i][x + j] for i in (0, 1) for j in (0, 1)) / 4 for y in range(0, 8, 2) for x in range(0, 8, 2)
    ]
    pixels = [tuple(int(each) / 255 for each in pixel) for row in image for pixel in row]
    spread = [math.sqrt(sum((each - sum(pixel) / 3) ** 2 for each in pixel) / 3) for pixel in pixels]
    return [
        math.log(contrast + 0.003),
        math.log((steps / 64 + 0.001) / (contrast + 0.003)),
        contrast,
        sum(edge) / len(edge),
        steps / 64,
        *shades,
        *tiles,
        sum(red - green for red, green, _ in pixels) / 64,
        sum(blue - green for _, green, blue in pixels) / 64,
        sum(spread) / 64,
    ]


def test_figures_are_those_that_are_counted_pixel_by_pixel() -> None:
    images = RANDOM.integers(0, 256, (3, 8, 8, 3), np.uint8)
    np.testing.assert_allclose(figures_of(images), [by_hand(image) for image in images], rtol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(9, 7), (6, 3), (1, 30)])
def test_tiles_are_as_equal_as_possible_where_four_do_not_divide_a_side(height: int, width: int) -> None:
    image = RANDOM.integers(0, 256, (1, height, width, 1), np.uint8)
    down, across = (np.array_split(np.arange(side), 4) for side in (height, width))
    wanted = [
        image[0, rows][:, columns].mean() / 255 for rows in down for columns in across if rows.size * columns.size
    ]
    np.testing.assert_allclose(figures_of(image)[0, 13:], wanted, rtol=1e-12)


def test_the_distance_is_mahalanobis_and_the_limits_are_kept_by_all_but_a_few() -> None:
    train, validation = (
        RANDOM.normal(120, 30, (count, 8, 8, 1)).clip(0, 255).astype(np.uint8) for count in (900, 500)
    )
    longest = RANDOM.uniform(0.5, 1, 500)
    usual = usual_of(train, validation, longest)
    figures = figures_of(train)
    scaled = (figures - figures.mean(0)) / (figures.std(0) + 1e-3)
    covariance = 0.9 * np.cov(scaled.T) + 0.1 * np.eye(scaled.shape[1])
    given = (figures_of(validation) - figures.mean(0)) / (figures.std(0) + 1e-3)
    wanted = [row @ np.linalg.solve(covariance, row) for row in given]
    np.testing.assert_allclose(distances_of(validation, usual), wanted, rtol=1e-3)
    assert 0 < unlike(validation, longest, usual).mean() <= 0.012
    assert usual.shortest == pytest.approx(np.quantile(longest, 0.004), rel=1e-5)
    assert unlike(validation[:1], np.array([0.1]), usual).tolist() == [True]


def test_of_few_images_none_is_unlike_itself() -> None:
    train, validation = (RANDOM.integers(0, 256, (count, 9, 7, 1), np.uint8) for count in (12, 3))
    longest = np.array([0.7, 0.8, 0.9])
    usual = usual_of(train, validation, longest)
    assert not unlike(validation, longest, usual).any()
    assert usual.limit == pytest.approx(1.25 * distances_of(validation, usual).max(), rel=1e-5)
    assert usual.shortest == pytest.approx(0.7 / 1.25, rel=1e-5)
    tiny = usual_of(train[:, :2, :1], validation[:, :2, :1], longest)  # fewer pixels than tiles
    assert np.isfinite(tiny.limit)


def test_real_images_are_usual_and_noise_blank_and_inverted_ones_are_not() -> None:
    dataset = load_dataset("fashion-mnist-subset")
    assert isinstance(dataset.train, Split)
    long = np.ones(len(dataset.validation))
    usual = usual_of(dataset.train.images, dataset.validation.images, long)

    def share(images: Images) -> float:
        return float(unlike(images, np.ones(len(images)), usual).mean())

    test = dataset.test.images
    assert share(test) < 0.02
    assert share(255 - test) > 0.99
    assert share(RANDOM.integers(0, 256, test.shape, np.uint8)) == 1
    assert share(np.repeat(np.arange(256, dtype=np.uint8), 784).reshape(256, 28, 28, 1)) == 1
