"""The losses against sums written out by hand."""

import pytest
import torch

from capsedge.models import margin_loss, reconstruction_loss


def test_margin_loss_is_equation_16() -> None:
    lengths = torch.tensor([[0.95, 0.05, 0.3], [0.2, 0.6, 0.1]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    first = 0 + 0 + 0.5 * (0.3 - 0.1) ** 2
    second = 0.5 * (0.2 - 0.1) ** 2 + 0.5 * (0.6 - 0.1) ** 2 + (0.9 - 0.1) ** 2
    assert margin_loss(lengths, targets).tolist() == pytest.approx([first, second])


def test_margin_loss_gradient_agrees_with_finite_differences() -> None:
    lengths = torch.rand(4, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.eye(5, dtype=torch.float64)[[0, 3, 3, 1]]
    assert torch.autograd.gradcheck(lambda x: margin_loss(x, targets), lengths)


def test_reconstruction_loss_sums_the_pixels_of_each_image() -> None:
    images = torch.zeros(2, 1, 2, 2)
    reconstruction = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.0]])
    assert reconstruction_loss(reconstruction, images).tolist() == pytest.approx([1.0, 0.75])
