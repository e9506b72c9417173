"""Batches of any number of images, with all that the model gives."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.runtime.batches import run_batches
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.session import Outputs, Session
from tests.runtime.capsule_model import images


class Drawing(Session):
    """A session of so many images a batch that draws each image as it is."""

    name, file, provider, contract = "drawing", Path("drawing"), "none", None

    def __init__(self, limits: tuple[int, int] | None) -> None:
        self.batch_limits = limits
        self.batches: list[int] = []

    def feeds(self, batch: int) -> Arrays:
        raise NotImplementedError

    def run_raw(self, feeds: Arrays) -> Arrays:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing."""

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        self.batches.append(len(images))
        pixels = (images / 255).astype(np.float32)
        return Outputs(pixels[:, 0, :, 0], pixels[:, :2, :, 0], pixels)


@pytest.mark.parametrize(
    ("limits", "batch", "batches"),
    [(None, 3, [3, 3, 1]), (None, 7, [7]), ((4, 4), 1, [4, 4]), ((8, 16), 2, [8]), ((1, 2), 32, [2, 2, 2, 1])],
)
def test_every_image_keeps_its_outputs_whatever_the_batch(
    limits: tuple[int, int] | None, batch: int, batches: list[int]
) -> None:
    session = Drawing(limits)
    pixels = images(7)

    outputs = run_batches(session, pixels, batch)

    assert session.batches == batches
    assert outputs.reconstruction is not None
    np.testing.assert_array_equal(outputs.reconstruction, (pixels / 255).astype(np.float32))
    np.testing.assert_array_equal(outputs.lengths, outputs.reconstruction[:, 0, :, 0])
    np.testing.assert_array_equal(outputs.poses, outputs.reconstruction[:, :2, :, 0])
