"""Splits: which arrays they take, and what they say of them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data import Split
from capsedge.errors import DataError


@pytest.mark.parametrize(
    ("images", "labels", "found"),
    [
        (np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.int64), r"images of uint8 .* got uint8 \[2, 3, 3\]"),
        (np.zeros((2, 3, 3, 1), np.float32), np.zeros(2, np.int64), r"got float32 \[2, 3, 3, 1\]"),
        (np.zeros((2, 3, 3, 4), np.uint8), np.zeros(2, np.int64), r"got uint8 \[2, 3, 3, 4\]"),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, np.int64), r"labels of int64 \[2\].* int64 \[3\]"),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros((2, 3), np.int64), r"\[2\] or \[2, 2\], .* int64 \[2, 3\]"),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(2, np.uint8), r"labels of int64 \[2\].* uint8 \[2\]"),
    ],
)
def test_a_split_refuses_arrays_of_another_type_or_shape(
    images: NDArray[np.uint8], labels: NDArray[np.int64], found: str
) -> None:
    with pytest.raises(DataError, match=found):
        Split(images, labels)


@pytest.mark.parametrize(("labels", "each"), [(np.zeros(2, np.int64), 1), (np.zeros((2, 2), np.int64), 2)])
def test_a_split_says_its_shape_and_how_many_labels_an_image_has(labels: NDArray[np.int64], each: int) -> None:
    split = Split(np.zeros((2, 3, 4, 1), np.uint8), labels)
    assert (len(split), split.shape, split.labels_per_image) == (2, (3, 4, 1), each)
