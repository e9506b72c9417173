"""EM routing against Procedure 1 of Hinton et al. 2018 computed one number at a time."""

import math

import pytest
import torch
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.models import squash, squashed_length
from capsedge.models.routing.em import EMRouting

CAPSULES, DIM, CLASSES, BATCH = 5, 4, 3, 2
FLOOR = 5e-4


def layer_in_float64(iterations: int = 3, temperature: float = 0.7) -> EMRouting:
    torch.manual_seed(2)
    layer = EMRouting(
        capsules=CAPSULES,
        dim=DIM,
        classes=CLASSES,
        class_dim=DIM,
        iterations=iterations,
        sigma=0.9,
        temperature=temperature,
    ).double()
    nn.init.normal_(layer.beta_a)
    nn.init.normal_(layer.beta_u)
    return layer


def capsules_in_float64() -> Tensor:
    return squash(torch.randn(BATCH, CAPSULES, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))


def slow_vote(layer: EMRouting, u: Tensor, i: int, j: int) -> list[Tensor]:
    """The entries of M_i W_ij, row by row, with M_i = [[u0, u1], [u2, u3]]."""
    weight = layer.weight[i, :, j, :]
    return [
        u[i, 2 * row] * weight[0, column] + u[i, 2 * row + 1] * weight[1, column]
        for row in (0, 1)
        for column in (0, 1)
    ]


def slow_routing(layer: EMRouting, u: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Activations a_j and means mu_j of one image, as the paper writes the steps, density and all."""
    vote = [[slow_vote(layer, u, i, j) for j in range(CLASSES)] for i in range(CAPSULES)]
    active = [sum(x**2 for x in u[i]) ** 0.5 for i in range(CAPSULES)]
    r: list[list[Tensor]] = [[torch.tensor(1 / CLASSES, dtype=torch.float64)] * CLASSES for _ in range(CAPSULES)]
    for t in range(1, layer.iterations + 1):
        grown = 1 - 0.95**t
        inverse_temperature = grown / (1 - 0.95**layer.iterations) / layer.temperature
        a, means, variances = [], [], []
        for j in range(CLASSES):
            weight = [r[i][j] * active[i] for i in range(CAPSULES)]
            mass = sum(weight, torch.zeros(()))
            mean = [sum(weight[i] * vote[i][j][h] for i in range(CAPSULES)) / mass for h in range(DIM)]
            variance = [
                sum(weight[i] * (vote[i][j][h] - mean[h]) ** 2 for i in range(CAPSULES)) / mass + FLOOR
                for h in range(DIM)
            ]
            cost = [(layer.beta_u[j] + variance[h].sqrt().log()) * mass for h in range(DIM)]
            mean_cost = sum(cost, torch.zeros(())) / DIM / (CAPSULES / CLASSES)
            a.append(1 / (1 + (-inverse_temperature * (layer.beta_a[j] - mean_cost)).exp()))
            means.append(mean)
            variances.append(variance)
        for i in range(CAPSULES):
            density = []
            for j in range(CLASSES):
                p = a[j]
                for h in range(DIM):
                    distance = (vote[i][j][h] - means[j][h]) ** 2 / (2 * variances[j][h])
                    p = p * (-distance).exp() / (2 * math.pi * variances[j][h]).sqrt()
                density.append(p)
            r[i] = [p / sum(density, torch.zeros(())) for p in density]
    return a, means


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_routing_and_its_gradients_are_procedure_1(iterations: int) -> None:
    layer, u = layer_in_float64(iterations), capsules_in_float64().requires_grad_()
    v = layer(u)
    lengths, directions = squashed_length(v), v / v.norm(dim=2, keepdim=True)

    again = layer_in_float64(iterations)
    same = u.detach().clone().requires_grad_()
    results = [slow_routing(again, image) for image in same]
    activations = torch.stack([torch.stack(a) for a, _ in results])
    means = torch.stack([torch.stack([torch.stack(mean) for mean in image]) for _, image in results])
    torch.testing.assert_close(lengths, activations)
    torch.testing.assert_close(directions, means / means.norm(dim=2, keepdim=True))

    downstream = torch.randn(BATCH, CLASSES, dtype=torch.float64)
    (lengths * downstream + directions.sum(2)).sum().backward()
    (activations * downstream + (means / means.norm(dim=2, keepdim=True)).sum(2)).sum().backward()
    torch.testing.assert_close(u.grad, same.grad)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, again.get_parameter(name).grad)


def test_the_same_evidence_from_many_times_the_capsules_gives_the_same_lengths() -> None:
    few, u = layer_in_float64(), capsules_in_float64()
    many = EMRouting(capsules=CAPSULES * 50, dim=DIM, classes=CLASSES, class_dim=DIM, temperature=0.7).double()
    many.load_state_dict({**few.state_dict(), "weight": few.weight.data.repeat(50, 1, 1, 1)})
    torch.testing.assert_close(many(u.repeat(1, 50, 1)), few(u))


def test_votes_that_agree_activate_a_class_and_votes_that_differ_do_not() -> None:
    torch.manual_seed(0)
    layer = EMRouting(capsules=40, dim=DIM, classes=2, class_dim=DIM, iterations=1)
    u = squash(torch.randn(1, 40, DIM) * 3)
    pose = torch.tensor([[0.2, 0.1], [0.0, -0.3]])
    # Class 0 gets the same pose from every capsule; class 1 gets poses of the same size, all different.
    layer.weight.data[:, :, 0] = torch.linalg.solve(u.view(40, 2, 2), pose)
    turned = torch.linalg.qr(torch.randn(40, 2, 2)).Q
    layer.weight.data[:, :, 1] = torch.linalg.solve(u.view(40, 2, 2), pose @ turned)
    v = layer(u)
    agreed, differing = squashed_length(v)[0].tolist()
    assert agreed > 0.9
    assert differing < 0.5
    torch.testing.assert_close(v[0, 0] / v[0, 0].norm(), pose.flatten() / pose.norm())


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-8, 1e-3])
def test_images_without_active_capsules_give_finite_lengths_and_gradients(scale: float) -> None:
    torch.manual_seed(4)
    layer = EMRouting(capsules=20, dim=16, classes=3, class_dim=16)
    u = (torch.randn(2, 20, 16) * scale).requires_grad_()
    lengths = squashed_length(layer(u))
    (lengths - 0.5).square().sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(lengths).all()
    for tensor in (u, *layer.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
    if scale == 0.0:
        assert (lengths == 0).all()  # no votes, no direction


@pytest.mark.parametrize("weights", ["zero", "equal", "equal and huge", "huge"])
def test_extreme_weights_and_hard_activations_stay_finite(weights: str) -> None:
    layer = EMRouting(capsules=20, dim=4, classes=3, class_dim=4, temperature=0.001)
    values = {
        "zero": torch.zeros(20, 2, 3, 2),
        "equal": torch.eye(2)[None, :, None].expand(20, 2, 3, 2),  # all votes agree: logits of 1000 and more
        "equal and huge": 1e3 * torch.eye(2)[None, :, None].expand(20, 2, 3, 2),  # rounding outweighs the variance
        "huge": torch.linspace(-1e3, 1e3, 240).view(20, 2, 3, 2),
    }
    layer.weight.data.copy_(values[weights])
    u = torch.linspace(0.3, 0.6, 8).view(2, 1, 4).repeat(1, 20, 1).requires_grad_()
    v = layer(u)
    lengths = squashed_length(v)
    (lengths - 0.5).square().sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(v).all()
    assert ((lengths >= 0) & (lengths <= 1)).all()
    assert weights != "equal" or (lengths > 0.999).all()
    for tensor in (u, *layer.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


@pytest.mark.parametrize(("dim", "class_dim"), [(8, 16), (16, 9), (8, 8)])
def test_capsules_that_are_no_square_matrices_of_one_size_are_refused(dim: int, class_dim: int) -> None:
    with pytest.raises(
        WrongUse, match=f"primary_dim = network.class_dim = a square.* they are {dim} and {class_dim}"
    ):
        EMRouting(capsules=3, dim=dim, classes=2, class_dim=class_dim)
