"""squash (eq 3) against the formula as the paper writes it, and at zero."""

import pytest
import torch

from capsedge.models import squash, squashed_length


def as_written(v: torch.Tensor) -> torch.Tensor:
    """Eq 3 literally, component by component of one vector."""
    norm = sum(float(x) ** 2 for x in v) ** 0.5
    return torch.tensor([norm**2 / (1 + norm**2) * float(x) / norm for x in v], dtype=torch.float64)


@pytest.mark.parametrize("scale", [1e-3, 0.5, 1.0, 30.0])
def test_squash_is_equation_3(scale: float) -> None:
    vectors = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * scale
    expected = torch.stack([as_written(v) for v in vectors])
    torch.testing.assert_close(squash(vectors), expected)
    torch.testing.assert_close(squash(vectors.T, dim=0), expected.T)
    torch.testing.assert_close(squashed_length(vectors), expected.square().sum(1).sqrt())


def test_a_zero_vector_gives_zero_and_a_zero_gradient() -> None:
    for function in (squash, squashed_length):
        v = torch.zeros(3, 4, requires_grad=True)
        result = function(v)
        result.sum().backward()  # type: ignore[no-untyped-call]
        assert v.grad is not None
        assert torch.equal(result, torch.zeros_like(result))
        assert torch.equal(v.grad, torch.zeros_like(v))


def test_gradients_agree_with_finite_differences() -> None:
    v = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(squash, v)
    assert torch.autograd.gradcheck(squashed_length, v)
