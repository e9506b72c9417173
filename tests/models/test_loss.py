"""The losses against sums written out by hand."""

import pytest
import torch

from capsedge.models import margin_loss, reconstruction_loss
from capsedge.models.loss import distillation_loss


def test_margin_loss_is_equation_16() -> None:
    lengths = torch.tensor([[0.95, 0.05, 0.3], [0.2, 0.6, 0.1]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    first = 0 + 0 + 0.5 * (0.3 - 0.1) ** 2
    second = 0.5 * (0.2 - 0.1) ** 2 + 0.5 * (0.6 - 0.1) ** 2 + (0.9 - 0.1) ** 2
    assert margin_loss(lengths, targets).tolist() == pytest.approx([first, second])


def test_distillation_loss_is_twice_the_squared_distance_of_all_lengths() -> None:
    lengths = torch.tensor([[0.9, 0.1, 0.3], [0.2, 0.6, 0.1]], dtype=torch.float64)
    taught = torch.tensor([[0.7, 0.1, 0.4], [0.2, 0.1, 0.8]], dtype=torch.float64)
    expected = [2 * (0.2**2 + 0 + 0.1**2), 2 * (0 + 0.5**2 + 0.7**2)]
    assert distillation_loss(lengths, taught).tolist() == pytest.approx(expected)


def test_reconstruction_loss_sums_the_pixels_of_each_image() -> None:
    images = torch.zeros(2, 1, 2, 2)
    reconstruction = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.0]])
    assert reconstruction_loss(reconstruction, images).tolist() == pytest.approx([1.0, 0.75])
