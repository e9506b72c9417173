"""Dynamic routing against eqs 1 to 4 computed one capsule at a time."""

import math

import pytest
import torch
from torch import Tensor

from capsedge.models.routing import DynamicRouting

M, D, J, K, B = 6, 3, 4, 5, 3


def slow_coefficients(weight: Tensor, u: Tensor, iterations: int) -> list[list[float]]:
    """c_ij of the last iteration for one image."""
    vote = [[u[i] @ weight[i, :, j] for j in range(J)] for i in range(M)]
    b = [[0.0] * J for _ in range(M)]
    for iteration in range(iterations):
        c = [[math.exp(b[i][j]) / sum(math.exp(b[i][x]) for x in range(J)) for j in range(J)] for i in range(M)]
        if iteration == iterations - 1:
            break
        for j in range(J):
            v = sum((c[i][j] * vote[i][j] for i in range(M)), torch.zeros(K, dtype=torch.float64))
            energy = v.square().sum()
            s = energy / (1 + energy) * v / energy.sqrt()
            for i in range(M):
                b[i][j] += float(vote[i][j] @ s)
    return c


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_routing_and_its_gradients_are_equations_1_to_4(iterations: int) -> None:
    torch.manual_seed(7)
    layer = DynamicRouting(capsules=M, dim=D, classes=J, class_dim=K, iterations=iterations, sigma=0.8).double()
    u = torch.randn(B, M, D, dtype=torch.float64, requires_grad=True)
    v = layer(u)

    weight = layer.weight.detach().clone().requires_grad_()
    again = u.detach().clone().requires_grad_()
    rows = []
    for k in range(B):
        c = slow_coefficients(weight.detach(), again[k].detach(), iterations)
        rows.append(
            torch.stack(
                [sum((c[i][j] * (again[k, i] @ weight[i, :, j]) for i in range(M)), torch.zeros(K)) for j in range(J)]
            )
        )
    expected = torch.stack(rows)
    torch.testing.assert_close(v, expected)

    downstream = torch.randn_like(expected)
    (v * downstream).sum().backward()
    (expected * downstream).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(layer.weight.grad, weight.grad)
    torch.testing.assert_close(u.grad, again.grad)
