"""The data of the plots: nothing is clipped, and thinning keeps the distribution."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsedge.measure.bench.show import drawing
from capsedge.measure.bench.show.model_plots import Point, front, pareto, points
from capsedge.measure.bench.show.sample_plots import _medians, _occupied, _when, thinned
from tests.measure.bench.reports import case, group, report, rounds_of


def test_a_thinned_distribution_keeps_the_extremes_and_lies_nowhere() -> None:
    values = np.random.default_rng(0).lognormal(0, 1, 20_000)
    times, shares = thinned(values)

    assert (times[0], times[-1], shares[-1]) == (values.min(), values.max(), 100)
    assert len(times) < 500
    ordered = np.sort(values)
    assert set(ordered[-60:]) | set(ordered[:60]) <= set(times)
    exact = [100 * np.mean(values <= time) for time in times]
    assert shares == pytest.approx(exact)
    assert np.diff(shares).max() < 0.5
    assert [each.tolist() for each in thinned(np.array([3.0, 1.0, 2.0, 2.0]))] == [[1, 2, 2, 3], [25, 50, 75, 100]]


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0], [0.1, 70.0], [1.0, 1.5, 2.0], [0.0, 5.0]])
def test_bins_hold_every_run(values: list[float]) -> None:
    counts, _ = np.histogram(values, drawing.bins(min(values), max(values), 90))

    assert counts.sum() == len(values)


@given(low=st.floats(1e-4, 1e4), factor=st.floats(3.01, 1e6), most=st.integers(3, 9))
def test_an_axis_has_round_numbers_but_not_too_many(low: float, factor: float, most: int) -> None:
    ticks = drawing._ticks(low, low * factor, most)

    assert 1 <= len(ticks) <= most
    assert all(low * 0.97 <= tick <= low * factor * 1.03 for tick in ticks)


def test_every_run_lies_in_a_cell_that_is_drawn_and_every_cell_holds_a_run() -> None:
    taken = case(samples_ms=rounds_of(2.0, rounds=300))
    rounds, values = _when(taken), drawing.samples(taken)
    across = np.linspace(0, 300, 151)
    cells = _occupied(rounds, values, across, drawing.bins(values.min(), values.max(), 44))

    (left, bottom), (right, top) = cells[:, 0].T, cells[:, 2].T
    inside = (
        (left[:, None] <= rounds)
        & (rounds <= right[:, None])
        & (bottom[:, None] <= values)
        & (values <= top[:, None])
    )
    assert inside.any(axis=0).all()
    assert inside.any(axis=1).all()


def test_the_line_follows_a_machine_that_slows_down() -> None:
    slower = case(samples_ms=[[1.0, 1.0, 9.0]] * 30 + [[2.0, 2.0, 9.0]] * 30)
    places, medians = _medians(_when(slower), drawing.samples(slower), 60)

    assert len(places) == 30
    assert {median for place, median in zip(places, medians, strict=True) if place < 30} == {1.0}
    assert {median for place, median in zip(places, medians, strict=True) if place > 30} == {2.0}


def test_the_front_contains_the_points_that_no_other_beats_in_both() -> None:
    taken = [Point(case(), *each) for each in ((1, 9), (2, 7), (2, 8), (3, 7), (4, 5), (5, 6), (1, 9))]

    def beaten(one: Point) -> bool:
        return any(
            other.latency_ms <= one.latency_ms
            and other.error_percent <= one.error_percent
            and (other.latency_ms, other.error_percent) != (one.latency_ms, one.error_percent)
            for other in taken
        )

    assert {each[1:] for each in front(taken)} == {each[1:] for each in taken if not beaten(each)}
    assert [each.latency_ms for each in front(taken)] == [1, 2, 4]


def test_error_stands_over_the_metric_of_the_scenario() -> None:
    long = case(samples_ms=rounds_of(2.0, iterations=40))
    p99 = next(each.value_ms for each in long.percentiles if each.percent == 99)

    (point,), what = points(group(long, scenario="multi-stream"))
    assert (point.latency_ms, what) == (p99, "p99 of a query")
    _, what = points(group(long, case("few", rounds_of(2.0)), scenario="multi-stream"))
    assert what == "p50 of a query"


def test_a_colour_that_comes_again_has_a_dash() -> None:
    looks = drawing.looks(report(group(*(case(str(index)) for index in range(13)))))

    assert len(set(looks.values())) == 13
    assert looks["0"].dash == ""
    assert looks["6"].colour == looks["0"].colour
    assert looks["6"].dash != ""


def test_the_numbers_at_the_points_are_those_of_the_legend() -> None:
    cases = [case(name, rounds_of(ms, seed=1)) for name, ms in (("slow", 4.0), ("fast", 0.5), ("middle", 2.0))]
    taken = group(*cases, case("unknown", error=None, error_on=None))

    drawn = pareto(taken, drawing.looks(report(taken)), "x")

    assert (drawn.legend, drawn.numbered) == (("fast", "middle", "slow"), True)
    # A number starts to the right of its point; the labels of the axes are centred or end there.
    numbers = re.findall(r'text-anchor: start[^>]* x="([\d.]+)"[^>]*>([^<]+)<', drawn.svg)
    assert [number for _, number in sorted(numbers, key=lambda each: float(each[0]))] == ["1", "2", "3"]
