"""How the rates fall, at the numbers that the paper gives."""

import pytest

from capsedge.recipe import load_recipe
from capsedge.training.schedule import rate_factor


def test_the_paper_decays_by_0_96_every_1000_steps() -> None:
    recipe = load_recipe("fashion-mnist-l2").train
    assert rate_factor(999, 20000, recipe) == 1
    assert rate_factor(1000, 20000, recipe) == pytest.approx(0.96)
    assert rate_factor(5500, 20000, recipe) == pytest.approx(0.96**5)


def test_no_schedule_falls_below_the_floor() -> None:
    halves = load_recipe("fashion-mnist-l2", ["train.decay=0.5"]).train
    assert rate_factor(10**6, 10**6, halves) == pytest.approx(1e-6 / 1e-3)
    cosine = load_recipe("fashion-mnist-l2", ["train.schedule=cosine"]).train
    assert rate_factor(100, 100, cosine) == pytest.approx(1e-6 / 1e-3)


def test_cosine_is_half_way_in_the_middle() -> None:
    cosine = load_recipe("fashion-mnist-l2", ["train.schedule=cosine"]).train
    assert rate_factor(0, 100, cosine) == 1
    assert rate_factor(50, 100, cosine) == pytest.approx(0.5)


def test_constant_is_constant() -> None:
    constant = load_recipe("fashion-mnist-l2", ["train.schedule=constant"]).train
    assert rate_factor(10**6, 10**6, constant) == 1
