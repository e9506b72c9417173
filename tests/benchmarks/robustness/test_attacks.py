"""Attacks on a tiny network: how far they go, and that their gradients are the true ones."""

from typing import NamedTuple, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.robustness.attacks import fgsm, length_gap, mistakes, pgd, slopes
from benchmarks.robustness.measure import CHECK_EPSILON, EPSILONS, error_rows, findings, under_attack
from benchmarks.robustness.record import ErrorRow
from benchmarks.robustness.subjects import MeasuredNetwork
from capsedge.data import Split
from capsedge.models import CapsNet, Capsules, build_network, margin_loss
from capsedge.training.evaluate import multi_hot
from tests.tiny import tiny_recipe


@pytest.fixture
def network(subject: MeasuredNetwork) -> CapsNet:
    assert subject.network is not None
    return subject.network


@pytest.fixture
def start(images: Tensor) -> Tensor:
    return 2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) - 1


def gradient_of(network: CapsNet, images: Tensor, labels: Tensor) -> Tensor:
    return slopes(network, images, labels, margin_loss)[1]


@pytest.mark.parametrize("epsilon", [*EPSILONS, CHECK_EPSILON])
def test_fgsm_changes_a_value_by_epsilon_and_stays_within_0_to_1(
    network: CapsNet, images: Tensor, labels: Tensor, epsilon: float
) -> None:
    gradient = gradient_of(network, images, labels)

    result = fgsm(images, gradient, epsilon)

    assert (result - images).abs().max() <= epsilon + 1e-6
    assert result.min() >= 0
    assert result.max() <= 1
    inside = (images > epsilon) & (images < 1 - epsilon)
    wanted = images + epsilon * gradient.sign()
    assert torch.allclose(result[inside], wanted[inside], atol=1e-6)


def test_fgsm_raises_the_margin_loss(network: CapsNet, images: Tensor, labels: Tensor) -> None:
    def loss(pixels: Tensor) -> float:
        with torch.no_grad():
            return float(margin_loss(network(pixels).lengths, multi_hot(labels, 10)).mean())

    assert loss(fgsm(images, gradient_of(network, images, labels), 4 / 255)) > loss(images)


@pytest.mark.parametrize("loss", [margin_loss, length_gap])
@pytest.mark.parametrize("epsilon", [4 / 255, 0.1])
def test_pgd_stays_within_epsilon_and_0_to_1(
    network: CapsNet, images: Tensor, labels: Tensor, start: Tensor, epsilon: float, loss: object
) -> None:
    result = pgd(network, images, labels, epsilon, loss=loss, start=start)  # type: ignore[arg-type]

    assert (result - images).abs().max() <= epsilon + 1e-6
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.parametrize("epsilon", [4 / 255, 8 / 255, 0.1, 0.3])
def test_pgd_turns_no_fewer_images_than_fgsm(
    network: CapsNet, images: Tensor, labels: Tensor, start: Tensor, epsilon: float
) -> None:
    one = fgsm(images, gradient_of(network, images, labels), epsilon)
    many = pgd(network, images, labels, epsilon, loss=margin_loss, start=start)

    wrong = [int(mistakes(network, each, labels).sum()) for each in (images, one, many)]

    assert wrong[0] <= wrong[1] <= wrong[2]


def test_pgd_finds_more_in_20_steps_than_at_its_start(
    network: CapsNet, images: Tensor, labels: Tensor, start: Tensor
) -> None:
    counts = [
        int(
            mistakes(
                network, pgd(network, images, labels, 0.1, loss=margin_loss, start=start, steps=steps), labels
            ).sum()
        )
        for steps in (0, 1, 20)
    ]

    assert counts[0] < counts[1] < counts[2]


def test_pgd_begins_at_its_random_start(network: CapsNet, images: Tensor, labels: Tensor, start: Tensor) -> None:
    result = pgd(network, images, labels, 0.1, loss=margin_loss, start=start, steps=0)

    right = torch.from_numpy(~mistakes(network, images, labels))
    assert torch.allclose(result[right], (images + 0.1 * start).clamp(0, 1)[right], atol=1e-6)


def test_hardly_an_image_withstands_pgd_at_the_epsilon_of_the_check(
    network: CapsNet, images: Tensor, labels: Tensor, start: Tensor
) -> None:
    on_margin, on_gap = (
        mistakes(network, pgd(network, images, labels, CHECK_EPSILON, loss=loss, start=start), labels)
        for loss in (margin_loss, length_gap)
    )

    assert on_margin.mean() >= 0.9
    assert on_gap.all()


def test_an_image_that_is_wrong_without_an_attack_stays_as_it_is(
    network: CapsNet, images: Tensor, labels: Tensor, start: Tensor
) -> None:
    wrong = torch.from_numpy(mistakes(network, images, labels))

    result = pgd(network, images, labels, 0.1, loss=margin_loss, start=start)

    same = (result == images).flatten(1).all(1)
    assert wrong.any()
    assert torch.equal(same, wrong)


def test_the_gap_is_above_0_where_the_answer_is_wrong() -> None:
    lengths = torch.rand(200, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(400).reshape(200, 2) % 6  # two in an image

    gaps = length_gap(lengths, multi_hot(labels, 6))

    for row, present, gap in zip(lengths.tolist(), labels.tolist(), gaps.tolist(), strict=True):
        absent = [length for place, length in enumerate(row) if place not in present]
        assert gap == pytest.approx(max(absent) - min(row[place] for place in present))
        order = sorted(range(6), key=lambda place: -row[place])
        assert (gap > 0) == (set(order[:2]) != set(present))


class Routed(nn.Module):
    """The routing alone, with primary capsules for images; its network is float32 below them."""

    def __init__(self, network: CapsNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Capsules:
        u = images[:, 0]
        return Capsules(u, self.network.route(u))


@pytest.mark.parametrize("base", ["fashion-mnist-dynamic-small", "fashion-mnist-kl-small", "fashion-mnist-em-small"])
def test_gradients_flow_through_the_routing(base: str) -> None:
    """By finite differences, in float64."""
    torch.manual_seed(0)
    recipe = tiny_recipe("routing.sigma=0.5", base=base)
    network = build_network(recipe, classes=10, shape=(28, 28, 1)).double().eval()
    routed = cast(CapsNet, Routed(network))
    capsules, labels = 0.5 * torch.randn(3, 1, 72, 4, dtype=torch.float64), torch.tensor([[0], [4], [9]])

    def loss(at: Tensor) -> Tensor:
        with torch.no_grad():
            return margin_loss(routed(at).lengths, multi_hot(labels, 10).double())

    gradient = gradient_of(routed, capsules, labels)

    direction = torch.randn(capsules.shape, dtype=torch.float64)
    slope = (loss(capsules + 1e-6 * direction) - loss(capsules - 1e-6 * direction)) / 2e-6
    assert torch.allclose((gradient * direction).flatten(1).sum(1), slope, rtol=1e-4, atol=1e-9)
    assert slope.abs().min() > 1e-4


class Bright(nn.Module):
    """Answers by the mean of an image: the second class from 0.5 on, or within a narrow band below it."""

    def __init__(self, band: tuple[float, float] = (0.0, 0.0), *, turning: bool = True) -> None:
        super().__init__()
        self.band = band
        self.turning = turning

    def forward(self, images: Tensor) -> "Given":
        mean = images.mean((1, 2, 3))
        within = (mean > self.band[0]) & (mean < self.band[1])
        first = (1 - mean if self.turning else 0.8 - 0.1 * mean) - 1.0 * within
        return Given(torch.stack([first, mean if self.turning else 0.2 + 0.1 * mean], dim=1))


class Given(NamedTuple):
    lengths: Tensor


def test_pgd_stops_where_the_answer_becomes_wrong() -> None:
    network, images = cast(CapsNet, Bright()), torch.full((2, 1, 8, 8), 0.32)
    labels = torch.zeros(2, 1, dtype=torch.int64)

    result = pgd(network, images, labels, 0.4, loss=margin_loss, start=torch.zeros_like(images))

    # Steps of 0.4 / 8 from 0.32: the first beyond 0.5 is at 0.52, and the ball would reach to 0.72.
    assert torch.allclose(result, torch.full_like(images, 0.52), atol=1e-5)


def test_what_a_smaller_epsilon_turns_a_larger_one_does_too() -> None:
    """The step of FGSM to a narrow band is not the one that a larger epsilon takes, which jumps over it."""
    grey = Split(np.full((6, 28, 28, 1), 76, np.uint8), np.zeros(6, np.int64))
    network = cast(CapsNet, Bright((76 / 255 + 0.0595, 76 / 255 + 0.0605), turning=False))

    wrong, _ = under_attack(network, grey, (0.3, 0.06), seed=0, tell=lambda _: None)  # in any order

    assert wrong["fgsm", 0.06].all()
    assert not wrong["fgsm", 0.3].any()
    assert not wrong["pgd", 0.3].all()
    assert wrong["strongest", 0.3].all()


class Stepwise(nn.Module):
    """A network behind a step function, which hides its gradients."""

    def __init__(self, network: CapsNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Capsules:
        capsules: Capsules = self.network(images.round())
        return capsules


def test_masked_gradients_are_found(network: CapsNet, some: Split) -> None:
    masked = cast(CapsNet, Stepwise(network))

    wrong, flat = under_attack(masked, some, (0.3,), seed=0, tell=lambda _: None)

    assert flat == 1
    codes = {finding.code for finding in findings(error_rows(wrong))}
    assert {"pgd-withstood", "all-withstood"} <= codes


class Content(nn.Module):
    """The longest length made 0.95 or more, all others 0.05 or less: where the answer is right, the loss is flat."""

    def __init__(self, network: CapsNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Given:
        lengths = self.network(images).lengths
        first = torch.zeros_like(lengths).scatter_(1, lengths.argmax(1, keepdim=True), 1.0)
        return Given(0.05 * lengths + 0.95 * first)


def test_what_the_margin_loss_hides_is_found_on_the_gap_of_lengths(network: CapsNet, some: Split) -> None:
    content = cast(CapsNet, Content(network))

    wrong, flat = under_attack(content, some, (4 / 255, 0.3), seed=0, tell=lambda _: None)

    right = ~wrong["clean", None]
    assert flat == right.mean()
    assert np.array_equal(wrong["fgsm", 0.3][right], np.zeros(right.sum(), bool))
    assert wrong["strongest", 0.3].mean() > wrong["pgd", 0.3].mean() + 0.1
    assert "margin-loss-misses" in {finding.code for finding in findings(error_rows(wrong))}


def row(kind: str, epsilon: float, error: float) -> ErrorRow:
    return ErrorRow(
        kind=kind,  # type: ignore[arg-type]
        amount=epsilon,
        images=100,
        error=error,
        standard_error=0.04,
        change=0.0,
        change_low=0.0,
        change_high=0.0,
    )


@pytest.mark.parametrize(
    ("epsilon", "fgsm_error", "pgd_error", "strongest", "codes"),
    [
        (0.1, 0.3, 0.4, 0.45, []),
        (0.1, 0.41, 0.4, 0.45, ["pgd-below-fgsm"]),
        (0.1, 0.3, 0.4, 0.5, ["margin-loss-misses"]),
        (0.3, 0.3, 0.99, 1.0, []),
        (0.3, 0.3, 0.98, 1.0, ["pgd-withstood"]),
        (0.3, 0.3, 0.95, 0.98, ["pgd-withstood", "all-withstood"]),
    ],
)
def test_what_is_odd_about_the_attacks_is_found(
    epsilon: float, fgsm_error: float, pgd_error: float, strongest: float, codes: list[str]
) -> None:
    rows = [row("fgsm", epsilon, fgsm_error), row("pgd", epsilon, pgd_error), row("strongest", epsilon, strongest)]

    assert [finding.code for finding in findings(rows)] == codes
