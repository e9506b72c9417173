"""Minibatches: every image once, the same order for the same seed, shifts without a seam."""

import numpy as np
import torch

from capsedge.data import Dataset
from capsedge.training.batches import Batches, shifted

CPU = torch.device("cpu")


def test_an_epoch_holds_every_image_once_with_its_label(little: Dataset) -> None:
    batches = Batches(little.train, batch_size=64, seed=1, shift=0, device=CPU)
    parts = list(batches.epoch(0))
    assert [len(labels) for _, labels in parts] == [64, 64, 64, 38]
    assert len(batches) == 4
    seen = {(images[i].numpy().tobytes(), int(labels[i])) for images, labels in parts for i in range(len(labels))}
    scaled = (little.train.images.astype(np.float32) * np.float32(1 / 255)).transpose(0, 3, 1, 2)
    assert seen == {(scaled[i].tobytes(), int(little.train.labels[i])) for i in range(len(little.train))}


def test_the_order_depends_on_seed_and_epoch_alone(little: Dataset) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = Batches(little.train, batch_size=64, seed=seed, shift=2, device=CPU)
        return [int(label) for _, labels in batches.epoch(epoch) for label in labels]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_an_epoch_resumed_in_its_middle_gives_the_same_shifted_batches(little: Dataset) -> None:
    batches = Batches(little.train, batch_size=64, seed=1, shift=2, device=CPU)
    whole, rest = list(batches.epoch(3)), list(batches.epoch(3, first=2))
    for (images, labels), (again, labels_again) in zip(whole[2:], rest, strict=True):
        assert torch.equal(images, again)
        assert torch.equal(labels, labels_again)


def test_a_shift_moves_an_image_and_brings_in_black() -> None:
    images = torch.rand(3, 2, 5, 6)
    moved = shifted(images, torch.tensor([[1, -2], [0, 0], [-2, 1]]))
    expected = torch.zeros_like(images)
    expected[0, :, 1:, :-2] = images[0, :, :-1, 2:]
    expected[1] = images[1]
    expected[2, :, :-2, 1:] = images[2, :, 2:, :-1]
    assert torch.equal(moved, expected)
