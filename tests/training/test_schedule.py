"""How the rates rise and fall, at the numbers that the paper gives and by PyTorch's own schedules."""

import pytest
import torch

from capsedge.recipe import load_recipe
from capsedge.training.schedule import rate_factor


def test_the_paper_decays_by_0_96_every_1000_steps() -> None:
    recipe = load_recipe("fashion-mnist-l2", ["train.schedule=step"]).train
    assert rate_factor(999, 20000, recipe) == 1
    assert rate_factor(1000, 20000, recipe) == pytest.approx(0.96)
    assert rate_factor(5500, 20000, recipe) == pytest.approx(0.96**5)


def test_no_schedule_falls_below_the_floor() -> None:
    halves = load_recipe("fashion-mnist-l2", ["train.schedule=step", "train.decay=0.5"]).train
    assert rate_factor(10**6, 10**6, halves) == pytest.approx(1e-6 / 1e-3)
    cosine = load_recipe("fashion-mnist-l2", ["train.schedule=cosine"]).train
    assert rate_factor(100, 100, cosine) == pytest.approx(1e-6 / 1e-3)


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.2), (97, 0.3), (1000, 0.05), (10, 0.5)])
def test_one_cycle_is_pytorchs_with_a_half_cosine_up_and_one_down(steps: int, warmup: float) -> None:
    """PyTorch's cycle is at its peak at pct_start * total_steps - 1, and at its end at total_steps - 1."""
    rate = 2e-3
    one_cycle = ["train.schedule=one-cycle", f"train.warmup={warmup}", f"train.learning_rate={rate}", "train.floor=0"]
    recipe = load_recipe("fashion-mnist-l2", one_cycle).train
    adam = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    witness = torch.optim.lr_scheduler.OneCycleLR(
        adam,
        max_lr=rate,
        total_steps=steps + 1,
        pct_start=(warmup * steps + 1) / (steps + 1),
        anneal_strategy="cos",
        cycle_momentum=False,
        div_factor=10,
        final_div_factor=float("inf"),
    )
    rates = []
    for _ in range(steps):
        rates.append(adam.param_groups[0]["lr"])
        adam.step()
        witness.step()
    ours = [rate * rate_factor(step, steps, recipe) for step in range(steps)]
    assert ours == pytest.approx(rates, rel=1e-9, abs=1e-15)
    assert max(ours) == pytest.approx(rate, rel=0.05)
    assert ours[0] == pytest.approx(rate / 10)


def test_one_cycle_without_a_warmup_is_cosine_and_has_its_floor() -> None:
    cosine, one_cycle = (
        load_recipe("fashion-mnist-l2", [f"train.schedule={name}", "train.warmup=0", "train.floor=1e-5"]).train
        for name in ("cosine", "one-cycle")
    )
    factors = [rate_factor(step, 50, one_cycle) for step in range(51)]
    assert factors == [rate_factor(step, 50, cosine) for step in range(51)]
    assert factors[-1] == pytest.approx(1e-5 / 1e-3)


def test_a_floor_above_the_rate_does_not_raise_it() -> None:
    cosine = load_recipe("fashion-mnist-l2", ["train.schedule=cosine", "train.floor=1e-2"]).train
    assert [rate_factor(step, 100, cosine) for step in (0, 50, 100)] == [1, 1, 1]
