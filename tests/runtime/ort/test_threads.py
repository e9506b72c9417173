"""How many threads a run takes: the formula against its cost model, and the model against the measurements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsedge.runtime.ort.threads import HAND_OFF_ASLEEP_FLOPS, HAND_OFF_FLOPS, threads_for


def cheapest(flops: int, cores: int, hand_off: int) -> set[int]:
    """Try every number of threads; in whole numbers, times n, so that ties are ties."""
    costs = {n: (flops + hand_off * n * (n - 1)) / n for n in range(1, cores + 1)}
    least = min(costs.values())
    return {n for n, cost in costs.items() if cost <= least * (1 + 1e-12)}


@given(st.integers(0, 10**11), st.integers(1, 256), st.booleans())
def test_the_number_of_threads_is_the_cheapest_by_the_cost_model(flops: int, cores: int, spinning: bool) -> None:
    hand_off = HAND_OFF_FLOPS if spinning else HAND_OFF_ASLEEP_FLOPS
    assert threads_for(flops, cores, spinning=spinning) in cheapest(flops, cores, hand_off)


@pytest.mark.parametrize(
    ("mflop", "one_ms", "two_ms", "hand_off"),
    [
        (28.8, 0.151, 0.094, HAND_OFF_FLOPS),
        (401.7, 2.05, 1.04, HAND_OFF_FLOPS),
        (28.8, 0.151, 0.158, HAND_OFF_ASLEEP_FLOPS),
        (28.8, 0.084, 0.104, HAND_OFF_ASLEEP_FLOPS),  # int8
        (401.7, 2.05, 1.14, HAND_OFF_ASLEEP_FLOPS),
    ],
)
def test_a_hand_off_is_what_was_measured(mflop: float, one_ms: float, two_ms: float, hand_off: int) -> None:
    """Medians of a quiet machine: two threads take half of one's time and a hand-off."""
    assert hand_off / 1e6 == pytest.approx((two_ms - one_ms / 2) * mflop / one_ms, rel=0.4)
