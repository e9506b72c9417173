"""Images of none of the classes, by slow loops."""

from pathlib import Path

import numpy as np
import pytest
from numpy.random import RandomState

from benchmarks.robustness.foreign import auroc, blank_images, foreign_images, noise_images, threshold
from capsedge.data.idx import write_idx
from capsedge.errors import DataError


def lengths(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Few different values, so that many are equal."""
    return (RandomState(seed).randint(0, 12, count) / np.float32(12)).astype(np.float32)


@pytest.mark.parametrize(("ours", "theirs"), [(40, 60), (7, 2), (1, 30)])
def test_the_auroc_is_that_of_all_pairs(ours: int, theirs: int) -> None:
    own, foreign = lengths(ours, 0), lengths(theirs, 1)
    wins = np.array([[1.0 if one > other else 0.5 if one == other else 0.0 for other in foreign] for one in own])

    area, deviation = auroc(own, foreign)

    assert area == pytest.approx(wins.sum() / (ours * theirs))
    if ours == 1:
        assert deviation is None
        return
    # DeLong et al. 1988, eqs 5 and 6, from the pairs.
    of_own = sum((wins[i].mean() - area) ** 2 for i in range(ours)) / (ours - 1)
    of_foreign = sum((wins[:, j].mean() - area) ** 2 for j in range(theirs)) / (theirs - 1)
    assert deviation == pytest.approx((of_own / ours + of_foreign / theirs) ** 0.5)


def test_the_auroc_is_1_where_every_image_of_a_class_has_a_longer_capsule_and_a_half_where_all_are_equal() -> None:
    low, high, same = (np.array(each, np.float32) for each in ([0.1, 0.2], [0.8, 0.9, 0.95], [0.5] * 4))

    assert auroc(high, low) == (1.0, 0.0)
    assert auroc(low, high) == (0.0, 0.0)
    assert auroc(same[:3], same) == (0.5, 0.0)


@pytest.mark.parametrize("count", [1, 19, 20, 21, 40, 100, 399, 400, 5000])
def test_the_threshold_is_the_largest_length_that_95_of_100_validation_images_reach(count: int) -> None:
    for validation in (lengths(count, 2), RandomState(3).uniform(size=count).astype(np.float32)):
        reached = [each for each in np.unique(validation) if 100 * (validation >= each).sum() >= 95 * count]

        assert threshold(validation) == float(reached[-1])


def test_blank_images_are_black_grey_and_white() -> None:
    images = blank_images((4, 6, 3))

    assert images.shape == (3, 4, 6, 3)
    assert [np.unique(image).tolist() for image in images] == [[0], [128], [255]]


def test_noise_images_have_every_value_equally_often_and_are_the_same_with_the_same_seed() -> None:
    images = noise_images((28, 28, 1), seed=0)

    counts = np.bincount(images.ravel(), minlength=256)
    assert len(images) == 1000
    assert counts.min() > 0.9 * images.size / 256
    assert counts.max() < 1.1 * images.size / 256
    assert np.array_equal(images, noise_images((28, 28, 1), seed=0))
    assert not np.array_equal(images, noise_images((28, 28, 1), seed=1))


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A folder of IDX files with images of 20x20 pixels."""
    folder = tmp_path / "digits"
    for part, count in (("train", 20), ("t10k", 6)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", np.full((count, 20, 20), 200, np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 2).astype(np.uint8))
    return folder


def test_foreign_images_are_the_test_images_of_a_data_set_fitted_to_the_shape(digits: Path) -> None:
    split = foreign_images(str(digits), (28, 28, 1))

    assert split.images.shape == (6, 28, 28, 1)


def test_foreign_images_of_another_number_of_channels_are_refused(digits: Path) -> None:
    with pytest.raises(DataError, match=r"expected foreign images of 28 x 28 x 3 .*, got 28 x 28 x 1"):
        foreign_images(str(digits), (28, 28, 3))
