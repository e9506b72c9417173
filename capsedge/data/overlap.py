"""Two images of different classes laid over each other, made when they are asked for: MultiMNIST of any images.

After Sabour et al. 2017 (section 6) and their code (research/capsules/input_data/mnist in github.com/Sarasra/models):
each base image gives 1,000 items; in each, it and a random image of another class are shifted on their own on a
larger black canvas and added, with sums cut at 255. In two points items differ from that code's: it shifts a base
image once for all its items, and lets no second image come twice for one base image. Here every item draws afresh.
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

_SECOND_IMAGE = 0  # what an item's random numbers are for; 1 to 4 are the shifts
_CHUNK = 4096  # items composed at once


@dataclass(frozen=True, eq=False)
class Overlaid:
    """A virtual set of len(base) * per_image items on no disk; item k is always the same.

    Attributes:
        base: The images, each of one class.
        reach: Largest shift in pixels in each direction; the canvas is larger than an image by twice that.
        seed: Another seed gives another set.
        per_image: Items that have the same image as their first.

    Raises:
        DataError: The base images have two labels each, or are of fewer than three classes.
    """

    base: Split
    reach: int
    seed: int
    per_image: int = 1000

    labels_per_image = 2

    def __post_init__(self) -> None:
        if self.base.labels.ndim != 1:
            raise DataError("images that already lie over each other cannot be overlapped again; set data.overlap=0")
        classes = len(np.unique(self.base.labels))
        if classes < 3:
            raise DataError(
                "expected images of three or more classes to overlap (of two, every item would show both), got "
                f"{len(self.base):,} of {classes}; set data.overlap=0, or add images of other classes"
            )

    def __len__(self) -> int:
        return len(self.base) * self.per_image

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one item."""
        height, width, channels = self.base.shape
        return height + 2 * self.reach, width + 2 * self.reach, channels

    def draw(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What items are made of.

        Args:
            items: [n], from 0 to len - 1.

        Returns:
            Positions of the two images in the base [n, 2], and the shift (down, right) of each in pixels [n, 2, 2].
        """
        if len(items) and (items.min() < 0 or items.max() >= len(self)):
            raise IndexError(f"items are 0 to {len(self) - 1}, and {items.min()} to {items.max()} were asked for")
        first = items // self.per_image
        indices = np.stack([first, self._partners(first, items)], axis=1)
        shifts = [below(2 * self.reach + 1, self._key(purpose), items) - self.reach for purpose in range(1, 5)]
        return indices, np.stack(shifts, axis=1).reshape(-1, 2, 2)

    def places(self, indices: Any, offsets: Any, *, count: Callable[[int], Any] = np.arange) -> tuple[Any, Any, Any]:
        """Where the pixels of items come from: an index into `bordered(base.images)` that gives their parts.

        Args:
            indices: [n, 2] of `draw`, an array of numpy or a tensor of torch on any device.
            offsets: [n, 2, 2] of `draw`, likewise.
            count: Gives the numbers from 0 to before its argument, of the same library and on the same device.

        Returns:
            Images [n, 2, 1, 1], rows [n, 2, height, 1] and columns [n, 2, 1, width].
        """
        height, width, _ = self.shape
        rows = count(height) - self.reach - offsets[..., :1]
        columns = count(width) - self.reach - offsets[..., 1:]
        # Beyond the image on either side lies the border: position -1, which is also the last.
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
        """Make `count` items, or all there are, that are spread evenly over the set."""
        count = min(count, len(self))
        return self.take(np.arange(count) * len(self) // count)

    def content(self) -> Iterator[bytes | memoryview]:
        """What decides every item, for a hash."""
        yield repr(("overlaid", self.reach, self.seed, self.per_image)).encode()
        yield from self.base.content()

    def _partners(self, first: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
        """A random image of another class than `first`; each of those is as likely as the others."""
        order, starts, counts = self._by_class
        label = self.base.labels[first]
        drawn = below(len(self.base) - counts[label], self._key(_SECOND_IMAGE), items)
        # In the order by class, leave out the stretch of first's own.
        return order[np.where(drawn < starts[label], drawn, drawn + counts[label])]

    @cached_property
    def _by_class(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Positions in the base in the order of the classes; where each class starts in it, and how many it has."""
        counts = np.bincount(self.base.labels)
        return np.argsort(self.base.labels, kind="stable"), np.cumsum(counts) - counts, counts

    def _key(self, purpose: int) -> int:
        return key_of(self.seed, purpose)


def bordered(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images [N, height, width, channels] with a black last row and column more, where `places` finds its black."""
    return np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)))


def laid_over(parts: Any) -> Any:
    """The sums of pairs, cut at 255, without leaving uint8.

    Args:
        parts: uint8 [n, 2, ...], an array of numpy or a tensor of torch.

    Returns:
        uint8 [n, ...], of the same library and on the same device.
    """
    first, second = parts[:, 0], parts[:, 1]
    return first + second.clip(max=255 - first)
