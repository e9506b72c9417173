"""KL-regularized routing: against its steps computed one number at a time, and against the objective they descend."""

import math

import pytest
import torch
from torch import Tensor

from capsedge.models import squash, squashed_length
from capsedge.models.routing.kl import KLRouting, centres, couple
from capsedge.models.routing.votes import weighted_sums

CAPSULES, DIM, CLASSES, CLASS_DIM, BATCH = 6, 3, 4, 5, 3


def layer_in_float64(iterations: int = 3, temperature: float = 0.2) -> KLRouting:
    torch.manual_seed(7)
    sizes = {"capsules": CAPSULES, "dim": DIM, "classes": CLASSES, "class_dim": CLASS_DIM}
    return KLRouting(**sizes, iterations=iterations, sigma=0.8, temperature=temperature).double()


def capsules_in_float64() -> Tensor:
    return squash(torch.randn(BATCH, CAPSULES, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(8)))


def slow_votes(layer: KLRouting, u: Tensor) -> list[list[Tensor]]:
    """o_ij of one image: W_ij u_i over the root of the sum of the squares of W_ij's entries."""
    rows = []
    for i in range(CAPSULES):
        row = []
        for j in range(CLASSES):
            w = layer.weight[i, :, j]
            row.append(u[i] @ w / sum(w[d, k] ** 2 for d in range(DIM) for k in range(CLASS_DIM)) ** 0.5)
        rows.append(row)
    return rows


def slow_coefficients(vote: list[list[Tensor]], iterations: int, alpha: float) -> list[list[float]]:
    """c_ij of the last iteration, from c_ij = 1 / classes on."""
    c = [[1 / CLASSES] * CLASSES for _ in range(CAPSULES)]
    for _ in range(iterations - 1):
        centre = []
        for j in range(CLASSES):
            total = sum((c[i][j] * vote[i][j] for i in range(CAPSULES)), torch.zeros(CLASS_DIM))
            centre.append(total / math.sqrt(float(total @ total)))
        for i in range(CAPSULES):
            e = [math.exp(float(vote[i][j] @ centre[j]) / alpha) for j in range(CLASSES)]
            c[i] = [x / sum(e) for x in e]
    return c


def slow_objective(votes: Tensor, coupling: Tensor, centre: Tensor, alpha: float) -> float:
    """The objective of one image, term by term. A zero coefficient adds nothing, as c log c goes to 0."""
    total = 0.0
    for i in range(votes.shape[1]):
        for j in range(votes.shape[0]):
            c = float(coupling[j, i])
            total += c * (alpha * math.log(c) - float(votes[j, i] @ centre[j])) if c > 0 else 0.0
    return total


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_routing_and_its_gradients_are_the_alternating_steps(iterations: int) -> None:
    layer, u = layer_in_float64(iterations), capsules_in_float64().requires_grad_()
    v = layer(u)

    again = layer_in_float64(iterations)
    same = u.detach().clone().requires_grad_()
    images = []
    for k in range(BATCH):
        vote = slow_votes(again, same[k])
        c = slow_coefficients([[o.detach() for o in row] for row in vote], iterations, layer.temperature)
        images.append(
            torch.stack(
                [sum((c[i][j] * vote[i][j] for i in range(CAPSULES)), torch.zeros(CLASS_DIM)) for j in range(CLASSES)]
            )
        )
    expected = torch.stack(images)
    torch.testing.assert_close(v, expected)

    downstream = torch.randn_like(expected)
    (v * downstream).sum().backward()
    (expected * downstream).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(u.grad, same.grad)
    torch.testing.assert_close(layer.weight.grad, again.weight.grad)


def random_votes() -> Tensor:
    """Votes of 4 images, 12 capsules and 3 classes, shorter than 1."""
    generator = torch.Generator().manual_seed(9)
    return squash(torch.randn(4, 3, 12, 5, dtype=torch.float64, generator=generator))


@pytest.mark.parametrize("alpha", [0.02, 0.2, 2.0])
def test_no_step_ever_raises_the_objective(alpha: float) -> None:
    votes = random_votes()
    coupling = torch.full((4, 3, 12), 1 / 3, dtype=torch.float64)
    centre = centres(weighted_sums(votes, coupling))

    def values() -> list[float]:
        return [slow_objective(votes[k], coupling[k], centre[k], alpha) for k in range(4)]

    last = first = values()
    for _ in range(10):
        coupling = couple(votes, centre, alpha)
        after_c = values()
        centre = centres(weighted_sums(votes, coupling))
        after_s = values()
        for before, middle, after in zip(last, after_c, after_s, strict=True):
            assert middle <= before + 1e-12
            assert after <= middle + 1e-12
        last = after_s
    assert all(end < start - 1e-3 for start, end in zip(first, last, strict=True))


def test_each_step_is_the_minimum_over_its_own_variables() -> None:
    votes, alpha = random_votes(), 0.3
    generator = torch.Generator().manual_seed(10)
    centre = squash(torch.randn(4, 3, 5, dtype=torch.float64, generator=generator))
    coupling = couple(votes, centre, alpha)
    best_centre = centres(weighted_sums(votes, coupling))
    for _ in range(20):
        other = torch.softmax(torch.randn(4, 3, 12, dtype=torch.float64, generator=generator), 1)
        elsewhere = squash(torch.randn(4, 3, 5, dtype=torch.float64, generator=generator) * 9)
        for k in range(4):
            assert slow_objective(votes[k], coupling[k], centre[k], alpha) <= slow_objective(
                votes[k], other[k], centre[k], alpha
            )
            assert slow_objective(votes[k], coupling[k], best_centre[k], alpha) <= slow_objective(
                votes[k], coupling[k], elsewhere[k], alpha
            )


def test_a_great_temperature_makes_the_coefficients_uniform_and_a_small_one_makes_them_choose() -> None:
    u = capsules_in_float64()
    uniform = layer_in_float64(iterations=1)(u)
    torch.testing.assert_close(layer_in_float64(iterations=4, temperature=1e9)(u), uniform)
    choosing = couple(random_votes(), centres(random_votes().sum(2)), 1e-4)
    torch.testing.assert_close(choosing.amax(1), torch.ones(4, 12, dtype=torch.float64))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-8])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_images_without_active_capsules_give_zero_and_finite_gradients(scale: float, weight: float) -> None:
    layer = KLRouting(capsules=20, dim=8, classes=3, class_dim=16)
    layer.weight.data *= weight
    u = (torch.randn(2, 20, 8) * scale).requires_grad_()
    lengths = squashed_length(layer(u))
    (lengths - 0.5).square().sum().backward()  # type: ignore[no-untyped-call]
    assert (lengths < 1e-9).all()
    for tensor in (u, layer.weight):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
