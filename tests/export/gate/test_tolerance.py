"""The limits of every precision."""

import dataclasses
from itertools import pairwise

import pytest

from capsedge.contract import PRECISIONS
from capsedge.errors import ModelError, WrongUse
from capsedge.export.gate import TOLERANCES, tolerance_of


def test_fewer_bits_are_never_held_to_more() -> None:
    order = [TOLERANCES[name] for name in ("fp32", "fp16", "bf16", "int8", "int8+fp16")]
    for finer, coarser in pairwise(order):
        for name, limit in dataclasses.asdict(finer).items():
            if name == "agreement":
                assert limit >= coarser.agreement
            else:
                assert limit <= getattr(coarser, name)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_user_replaces_the_limit_of_the_error_and_no_other(precision: str) -> None:
    usual, own = tolerance_of(precision), tolerance_of(precision, max_error_increase=0.02)
    assert own.error_increase == 0.02
    assert dataclasses.replace(own, error_increase=usual.error_increase) == usual


@pytest.mark.parametrize("share", [-0.001, 1.01, float("nan")])
def test_an_increase_that_is_no_share_is_wrong_use(share: float) -> None:
    with pytest.raises(WrongUse, match="expected 0 to 100 points"):
        tolerance_of("fp32", max_error_increase=share)


def test_a_type_without_limits_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"computes in float64 cannot be judged; there are limits for fp32, fp16,"):
        tolerance_of("float64")
