"""The routing objective and its gradient against the paper's equations, with every U_k U_k^T formed explicitly."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from capsedge.models.routing import RoutingObjective, StaticRouting, delta

M, D, J, K, P = 7, 3, 4, 5, 6  # capsules, components, classes, class components, observations


@pytest.fixture
def layer() -> StaticRouting:
    torch.manual_seed(5)
    layer = StaticRouting(capsules=M, dim=D, classes=J, class_dim=K, sigma=0.7).double()
    layer.b.normal_()
    layer.b[2, 1] = 0.0  # where |b| has no derivative
    return layer


@pytest.fixture
def u() -> Tensor:
    return torch.randn(P, M, D, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


LABELS = torch.tensor([0, 3, 1, 1, 2, 0])


def votes(layer: StaticRouting, u: Tensor, k: int, j: int) -> Tensor:
    """U_k of eq 6 for class j: row i is the vote W_ij u_ik, [capsules, class_dim]."""
    return torch.stack([u[k, i] @ layer.weight[i, :, j] for i in range(M)])


SIGNS = delta(one_hot(LABELS, J).double())


def slow_objective(layer: StaticRouting, u: Tensor, b: Tensor, objective: RoutingObjective) -> Tensor:
    """Eqs 10 and 14, summed over j: sum_k delta_jk b_j^T U_k U_k^T b_j - lambda |b_j|."""
    total = torch.zeros((), dtype=torch.float64)
    for j in range(J):
        for k in range(P):
            sign = 1.0 if LABELS[k] == j else -1.0
            matrix = votes(layer, u, k, j)
            energy = b[:, j] @ (matrix @ matrix.T) @ b[:, j]
            if objective.on == "squashed":
                energy = (energy / (1 + energy)) ** 2  # eq 3: the squashed capsule's length is |v|^2 / (1 + |v|^2)
            total = total + sign * (energy / P if objective.reduction == "mean" else energy)
        norm = b[:, j].square().sum() if objective.penalty == "l2" else b[:, j].abs().sum()
        total = total - objective.weight * norm
    return total


def gradient(layer: StaticRouting, u: Tensor, objective: RoutingObjective) -> Tensor:
    b = layer.b.requires_grad_()
    (data,) = torch.autograd.grad(objective.data(layer(u), SIGNS, P), [b])
    layer.b.requires_grad_(False)
    return data - objective.cost_gradient(layer.b)


OBJECTIVES = [
    RoutingObjective("l2", 0.3, "sum"),
    RoutingObjective("l2", 0.3, "mean"),
    RoutingObjective("l1", 0.3, "sum"),
    RoutingObjective("l1", 0.3, "mean"),
    RoutingObjective("l2", 0.3, "mean", on="squashed"),
]


def test_delta_is_one_for_each_class_that_is_there_and_minus_one_for_every_other() -> None:
    assert delta(torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])).tolist() == [[-1, 1, -1], [1, -1, 1]]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_objective_is_equation_10_or_14(layer: StaticRouting, u: Tensor, objective: RoutingObjective) -> None:
    fast = objective.data(layer(u), SIGNS, P) - objective.cost(layer.b)
    torch.testing.assert_close(fast, slow_objective(layer, u, layer.b, objective))


def test_the_data_terms_of_parts_of_a_batch_add_up_to_the_whole(layer: StaticRouting, u: Tensor) -> None:
    for objective in OBJECTIVES:
        v = layer(u)
        parts = objective.data(v[:4], SIGNS[:4], P) + objective.data(v[4:], SIGNS[4:], P)
        torch.testing.assert_close(parts, objective.data(v, SIGNS, P))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_gradient_agrees_with_finite_differences_of_the_slow_objective(
    layer: StaticRouting, u: Tensor, objective: RoutingObjective
) -> None:
    found = gradient(layer, u, objective)
    step = 1e-6
    for i in range(M):
        for j in range(J):
            if objective.penalty == "l1" and layer.b[i, j] == 0:
                continue  # the sub-gradient there is a convention, tested below
            ahead, behind = layer.b.clone(), layer.b.clone()
            ahead[i, j] += step
            behind[i, j] -= step
            rise = slow_objective(layer, u, ahead, objective) - slow_objective(layer, u, behind, objective)
            assert found[i, j].item() == pytest.approx((rise / (2 * step)).item(), rel=1e-5, abs=1e-6)


def test_plain_l1_step_is_equation_15_with_no_pull_at_zero(layer: StaticRouting, u: Tensor) -> None:
    gamma, weight = 0.01, 0.2
    stepped = layer.b + gamma * gradient(layer, u, RoutingObjective("l1", weight, "sum"))
    for j in range(J):
        b = layer.b[:, j]
        sign_of_b = torch.tensor([0.0 if x == 0 else float(x / abs(x)) for x in b], dtype=torch.float64)
        data = torch.zeros(M, dtype=torch.float64)
        for k in range(P):
            matrix = votes(layer, u, k, j)
            data += (1.0 if LABELS[k] == j else -1.0) * b @ matrix @ matrix.T
        torch.testing.assert_close(stepped[:, j], b + 2 * gamma * (data - weight / 2 * sign_of_b))
