"""Layers together, on given numbers."""

import pytest

from capsedge.measure.profile.grouping import stage_times
from capsedge.measure.profile.report import LayerTime


def layer(time_us: float, attainable_us: float | None = None, of_roof: float | None = None) -> LayerTime:
    return LayerTime(
        name="n",
        stage="head",
        time_us=time_us,
        recorded_us=time_us,
        median_us=time_us,
        share=0.25,
        attainable_us=attainable_us,
        of_roof=of_roof,
    )


def test_a_stage_is_as_far_from_the_roof_as_those_of_its_layers_that_have_one() -> None:
    """A Reshape has no least time, and a layer shorter than a tick has one but no distance."""
    (stage,) = stage_times([layer(10.0, 4.0, 0.4), layer(30.0, 12.0, 0.4), layer(40.0), layer(0.5, 0.4)])

    assert stage.of_roof == pytest.approx(16 / 40)
    assert stage.time_us == 80.5
    assert (stage.layers, stage.share) == (4, 1.0)


def test_a_stage_without_any_has_no_distance() -> None:
    (stage,) = stage_times([layer(40.0), layer(0.5, 0.4)])

    assert stage.of_roof is None
