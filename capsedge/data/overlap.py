"""Overlapped pairs of images of different classes, computed on demand: MultiMNIST for any images.

After Sabour et al. 2017 (section 6) and their code (research/capsules/input_data/mnist in github.com/Sarasra/models):
each base image gives 1,000 items. In each item, it and a random image of another class are shifted independently on a
larger black canvas and added; sums are clipped at 255. Two points differ from that code: it shifts a base image once
for all its items, and uses no second image twice for one base image. Here every item is drawn independently.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsedge.data.counter import below, key_of
from capsedge.data.split import Split
from capsedge.errors import DataError

_SECOND_IMAGE = 0  # purpose of an item's random numbers; 1 to 4 are the shifts
_CHUNK = 4096  # items composed at once


@dataclass(frozen=True, eq=False)
class Overlaid:
    """A virtual set of len(base) * per_image items; item k is always the same.

    Attributes:
        base: The images, each of one class.
        reach: Largest shift in pixels in each direction; the canvas is larger than an image by twice that.
        seed: Another seed gives another set.
        per_image: Number of items with the same first image.

    Raises:
        DataError: The base images have two labels each, or have fewer than three classes.
    """

    base: Split
    reach: int
    seed: int
    per_image: int = 1000

    labels_per_image = 2

    def __post_init__(self) -> None:
        if self.base.labels.ndim != 1:
            raise DataError("overlapped images cannot be overlapped again", "set data.overlap=0")
        classes = len(np.unique(self.base.labels))
        if classes < 3:
            raise DataError(
                "expected images of three or more classes to overlap (of two, every item would show both), got "
                f"{len(self.base):,} of {classes}",
                "set data.overlap=0, or add images of other classes",
            )

    def __len__(self) -> int:
        return len(self.base) * self.per_image

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one item."""
        height, width, channels = self.base.shape
        return height + 2 * self.reach, width + 2 * self.reach, channels

    def draw(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw the images and shifts of items.

        Args:
            items: [n], from 0 to len - 1.

        Returns:
            Positions of the two images in the base [n, 2], and the shift (down, right) of each in pixels [n, 2, 2].
        """
        if len(items) and (items.min() < 0 or items.max() >= len(self)):
            raise IndexError(f"expected items from 0 to {len(self) - 1}, got {items.min()} to {items.max()}")
        first = items // self.per_image
        indices = np.stack([first, self._partners(first, items)], axis=1)
        shifts = [below(2 * self.reach + 1, self._key(purpose), items) - self.reach for purpose in range(1, 5)]
        return indices, np.stack(shifts, axis=1).reshape(-1, 2, 2)

    def places(self, indices: Any, offsets: Any, *, count: Callable[[int], Any] = np.arange) -> tuple[Any, Any, Any]:
        """Index into `bordered(base.images)` that gives the two shifted images of each item.

        Args:
            indices: [n, 2] from `draw`, as a numpy array or a torch tensor on any device.
            offsets: [n, 2, 2] from `draw`, as the same type.
            count: `arange` of the same library and device.

        Returns:
            Images [n, 2, 1, 1], rows [n, 2, height, 1] and columns [n, 2, 1, width].
        """
        height, width, _ = self.shape
        rows = count(height) - self.reach - offsets[..., :1]
        columns = count(width) - self.reach - offsets[..., 1:]
        # Positions outside the image become -1 or height (width), and both are the black border.
        rows, columns = rows.clip(-1, self.base.shape[0]), columns.clip(-1, self.base.shape[1])
        return indices[..., np.newaxis, np.newaxis], rows[..., np.newaxis], columns[..., np.newaxis, :]

    def take(self, items: NDArray[np.int64]) -> Split:
        """Make items: uint8 images [n, height, width, channels] and labels [n, 2]."""
        source = bordered(self.base.images)
        indices, offsets = self.draw(items)
        images = np.empty((len(items), *self.shape), dtype=np.uint8)
        for start in range(0, len(items), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            images[chunk] = laid_over(source[self.places(indices[chunk], offsets[chunk])])
        return Split(images, self.base.labels[indices])

    def spread(self, count: int) -> Split:
        """Make `count` items spread evenly over the set, or all if it has fewer."""
        count = min(count, len(self))
        return self.take(np.arange(count) * len(self) // count)

    def content(self) -> Iterator[bytes | memoryview]:
        """The parameters and base images that determine every item, for a hash."""
        yield repr(("overlaid", self.reach, self.seed, self.per_image)).encode()
        yield from self.base.content()

    def _partners(self, first: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
        """A random image of another class than `first`, with equal probabilities."""
        order, starts, counts = self._by_class
        label = self.base.labels[first]
        drawn = below(len(self.base) - counts[label], self._key(_SECOND_IMAGE), items)
        # In the order by class, skip the range of first's class.
        return order[np.where(drawn < starts[label], drawn, drawn + counts[label])]

    @cached_property
    def _by_class(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Positions in the base sorted by class; start and number of images of each class in that order."""
        counts = np.bincount(self.base.labels)
        return np.argsort(self.base.labels, kind="stable"), np.cumsum(counts) - counts, counts

    def _key(self, purpose: int) -> int:
        return key_of(self.seed, purpose)


def bordered(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images [N, height, width, channels] with one more row and column, both black, for the indices of `places`."""
    return np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)))


def laid_over(parts: Any) -> Any:
    """Sums of pairs, clipped at 255, computed in uint8.

    Args:
        parts: uint8 [n, 2, ...], a numpy array or a torch tensor.

    Returns:
        uint8 [n, ...], of the same type and device.
    """
    first, second = parts[:, 0], parts[:, 1]
    return first + second.clip(max=255 - first)
