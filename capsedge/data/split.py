"""Images in memory with their labels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import DataError


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    Attributes:
        images: uint8 [N, height, width, channels], with 1 or 3 channels.
        labels: int64 [N], positions in the data set's classes; [N, 2] if each image shows two.

    Raises:
        DataError: The arrays have another type or shape.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in {1, 3}:
            raise DataError(f"expected images of uint8 [N, height, width, 1 or 3], got {_words(images)}")
        count = len(images)
        if labels.dtype != np.int64 or labels.shape not in {(count,), (count, 2)}:
            raise DataError(f"expected labels of int64 [{count}] or [{count}, 2], got {_words(labels)}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def labels_per_image(self) -> int:
        """1, or 2 if each image shows two."""
        return self.labels.shape[1] if self.labels.ndim == 2 else 1

    def spread(self, count: int) -> "Split":
        """`count` images spread evenly over the split, or all if it has fewer."""
        count = min(count, len(self))
        chosen = np.arange(count) * len(self) // count
        return Split(self.images[chosen], self.labels[chosen])

    def content(self) -> Iterator[bytes | memoryview]:
        """All pixels and labels, in order, for a hash."""
        yield np.ascontiguousarray(self.images).data
        yield np.ascontiguousarray(self.labels).data


def _words(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} {list(array.shape)}"
