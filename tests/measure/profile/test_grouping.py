"""Layers together, on given numbers."""

from typing import Any

import pytest

from capsedge.measure.profile.grouping import stage_times, typical, under, with_shares
from capsedge.measure.profile.report import LayerTime
from capsedge.measure.profile.roofline import Level, Roofs


def layer(time_us: float, attainable_us: float | None = None, of_roof: float | None = None, **more: Any) -> LayerTime:
    times: dict[str, Any] = dict.fromkeys(("time_us", "recorded_us", "median_us"), time_us)
    return LayerTime(
        name="n", stage="head", **times, share=0.25, attainable_us=attainable_us, of_roof=of_roof, **more
    )


def test_slow_runs_are_no_part_of_the_mean() -> None:
    assert typical([1.0, 2.0, 3.0, 1000.0]) == 2.5
    assert typical([5.0]) == 5.0


def test_the_distance_from_the_roof_is_the_least_time_over_the_measured_one() -> None:
    level = Level(name="memory", capacity_bytes=None, copied_bytes=1, gb_per_s=10.0)
    roofs = Roofs(threads=1, product_sides=(8,), gflops={"fp32": 100.0}, levels=(level,))
    cost: dict[str, Any] = {"kind": "fp32", "flops": 1_000_000, "weight_bytes": 10_000, "activation_bytes": 10_000}
    slow, short = under(roofs, with_shares([layer(40.0, **cost), layer(0.5, **cost)]))

    assert slow.attainable_us == pytest.approx(10.0)  # 1e6 / 100e9 s, longer than 2e4 / 10e9 s
    assert slow.of_roof == pytest.approx(0.25)
    assert slow.bound == "compute"
    assert slow.share == pytest.approx(40 / 40.5)
    assert short.of_roof is None  # shorter than a tick of the clock


def test_a_stage_is_as_far_from_the_roof_as_those_of_its_layers_that_have_one() -> None:
    """A Reshape has no least time, and a layer shorter than a tick has one but no distance."""
    (stage,) = stage_times([layer(10.0, 4.0, 0.4), layer(30.0, 12.0, 0.4), layer(40.0), layer(0.5, 0.4)])

    assert stage.of_roof == pytest.approx(16 / 40)
    assert stage.time_us == 80.5
    assert (stage.layers, stage.share) == (4, 1.0)


def test_a_stage_without_any_has_no_distance() -> None:
    (stage,) = stage_times([layer(40.0), layer(0.5, 0.4)])

    assert stage.of_roof is None
