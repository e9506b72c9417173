"""The breakdown of a query and the energy of the GPU, measured for each session alone."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data import images
from capsedge.golden import unpack_images
from capsedge.measure.bench import breakdown as module
from capsedge.measure.bench.breakdown import breakdown_of
from capsedge.measure.bench.report import Breakdown
from capsedge.measure.machine import EnergyCounter, Reading
from capsedge.runtime.open import open_session
from capsedge.runtime.session import DeviceKind, QueryBreakdown
from tests.measure.bench.clocked import Clock, Timed, subject


def test_the_parts_are_those_of_the_session_and_its_first_run(clock: Clock) -> None:
    found = breakdown_of(subject(Timed("a", clock, [2.0])), first_inference_ms=40.0, longest_seconds=5.0)

    assert found == Breakdown(
        load_ms=12.0, first_inference_ms=40.0, decode_ms=None, copy_in_ms=0.25, compute_ms=1.5, copy_out_ms=0.125
    )


def test_each_part_is_a_median_without_its_first_iteration_and_missing_copies_have_no_time(clock: Clock) -> None:
    computed = iter([90.0, *[1.0] * 20, *[7.0] * 10])

    class Uneven(Timed):
        def run_with_breakdown(self, feeds: object) -> QueryBreakdown:
            return QueryBreakdown(None, next(computed), None)

    found = breakdown_of(subject(Uneven("a", clock, [1.0])), first_inference_ms=1.0, longest_seconds=5.0)

    assert (found.copy_in_ms, found.compute_ms, found.copy_out_ms) == (None, 1.0, None)
    assert next(computed, None) is None  # 30 iterations and the one that does not count


@pytest.mark.parametrize(("latency_ms", "iterations"), [(1.0, 30), (990.0, 5), (60_000.0, 3)])
def test_a_slow_model_has_fewer_iterations_all_at_the_interval(
    clock: Clock, latency_ms: float, iterations: int
) -> None:
    model = Timed("a", clock, [latency_ms])

    breakdown_of(subject(model, interval_ms=10.0), first_inference_ms=1.0, longest_seconds=5.0)

    assert clock.ran == ["idle", "a"] * (iterations + 1)


def test_decoding_is_timed_on_pngs_of_the_golden_images_and_counts_for_the_batch(
    clock: Clock, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[NDArray[np.uint8]] = []
    real = images.decode_image

    def slow(content: bytes) -> object:
        clock.advance(0.5)
        assert content.startswith(b"\x89PNG")
        image = real(content)
        seen.append(np.array(image)[..., None])
        return image

    monkeypatch.setattr(images, "decode_image", slow)
    with open_session(good) as session:
        found = breakdown_of(subject(session, batch=8), first_inference_ms=1.0, longest_seconds=5.0)
        assert session.contract is not None
        golden = unpack_images(session.contract.golden, session.contract.input.shape)

    assert found.decode_ms == pytest.approx(4.0)
    np.testing.assert_array_equal(seen[: len(golden)], golden)
    assert len(seen) == 30 + 1


def on(device: DeviceKind, clock: Clock) -> Timed:
    model = Timed("a", clock, [10.0])
    model.device = device
    return model


def counter(monkeypatch: pytest.MonkeyPatch, clock: Clock, watts: float) -> None:
    """A GPU that draws so many watts: as many millijoules a millisecond."""
    monkeypatch.setattr(module, "gpu_energy_mj", lambda: 5e6 + watts * clock.nanoseconds / 1e6)


@pytest.mark.parametrize(
    ("batch", "interval_ms", "each_mj", "iterations"),
    [(1, 0.0, 1500.0, 100), (8, 0.0, 187.5, 100), (1, 30.0, 6000.0, 25)],
)
def test_the_energy_of_a_second_with_its_idle_time_is_divided_by_its_images(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, batch: int, interval_ms: float, each_mj: float, iterations: int
) -> None:
    counter(monkeypatch, clock, watts=150.0)
    model = on("gpu", clock)

    assert module.energy_mj(subject(model, batch=batch, interval_ms=interval_ms)) == pytest.approx(each_mj)
    assert model.iterations == iterations


@pytest.mark.parametrize("readings", [("unavailable",), (5.0, "unavailable"), (5.0, 5.0)])
def test_a_counter_that_tells_nothing_gives_no_zero(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, readings: tuple[Reading, ...]
) -> None:
    given = iter(readings)
    monkeypatch.setattr(module, "gpu_energy_mj", lambda: next(given))

    assert module.energy_mj(subject(on("gpu", clock))) == "unavailable"


def test_energy_is_not_measured_on_the_cpu(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    counter(monkeypatch, clock, watts=150.0)
    model = on("cpu", clock)

    assert module.energy_mj(subject(model)) == "unavailable"
    assert model.iterations == 0


def test_the_energy_of_the_processors_is_divided_by_the_images_of_a_second(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stand-ins for counters of 30 W and 20 W: microjoules, of which the second starts again from 0."""

    def read() -> tuple[EnergyCounter, ...]:
        microseconds = clock.nanoseconds // 1000
        first, second = 30 * microseconds, (90_000_000 + 20 * microseconds) % 100_000_000
        return EnergyCounter("a", first, 1e12), EnergyCounter("b", second, 1e8)

    monkeypatch.setattr(module, "cpu_energy", read)
    model = on("cpu", clock)

    assert module.cpu_energy_mj(subject(model, batch=4)) == pytest.approx(50 * 10 / 4)
    assert model.iterations == 100


def test_a_machine_without_counters_of_energy_runs_nothing_for_them(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "cpu_energy", lambda: ())
    model = on("cpu", clock)

    assert (module.cpu_energy_mj(subject(model)), model.iterations) == ("unavailable", 0)
