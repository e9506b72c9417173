"""What a session is measured for alone: where the time goes, and the energy of the GPU."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data import images
from capsedge.golden import unpack_images
from capsedge.measure.bench import breakdown as module
from capsedge.measure.bench.breakdown import breakdown_of
from capsedge.measure.bench.report import Breakdown
from capsedge.measure.machine import Reading
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Split
from tests.measure.bench.clocked import Clock, Timed, subject


def test_the_parts_are_those_of_the_session_and_its_first_run(clock: Clock) -> None:
    found = breakdown_of(subject(Timed("a", clock, [2.0])), first_inference_ms=40.0, longest_seconds=5.0)

    assert found == Breakdown(
        load_ms=12.0, first_inference_ms=40.0, decode_ms=None, copy_in_ms=0.25, compute_ms=1.5, copy_out_ms=0.125
    )


def test_copies_that_do_not_exist_have_no_time(clock: Clock) -> None:
    class OnCpu(Timed):
        def run_split(self, feeds: object) -> Split:
            return Split(None, 3.0, None)

    found = breakdown_of(subject(OnCpu("a", clock, [2.0])), first_inference_ms=2.0, longest_seconds=5.0)

    assert (found.copy_in_ms, found.compute_ms, found.copy_out_ms) == (None, 3.0, None)


def test_each_part_is_a_median_and_the_first_of_its_runs_does_not_count(clock: Clock) -> None:
    computed = iter([90.0, *[1.0] * 20, *[7.0] * 10])

    class Uneven(Timed):
        def run_split(self, feeds: object) -> Split:
            return Split(None, next(computed), None)

    found = breakdown_of(subject(Uneven("a", clock, [1.0])), first_inference_ms=1.0, longest_seconds=5.0)

    assert found.compute_ms == 1.0
    assert next(computed, None) is None  # 30 iterations and the one that does not count


@pytest.mark.parametrize(("latency_ms", "iterations"), [(1.0, 30), (1000.0, 5), (60_000.0, 3)])
def test_a_slow_model_is_split_less_often(clock: Clock, latency_ms: float, iterations: int) -> None:
    model = Timed("a", clock, [latency_ms])

    breakdown_of(subject(model), first_inference_ms=1.0, longest_seconds=5.0)

    assert model.iterations == iterations + 1


def test_the_split_runs_at_the_cadence(clock: Clock) -> None:
    breakdown_of(subject(Timed("a", clock, [1.0]), interval_ms=10.0), first_inference_ms=1.0, longest_seconds=5.0)

    assert clock.ran == ["idle", "a"] * (30 + 1)


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


def on(provider: str, clock: Clock, latency_ms: float = 10.0) -> Timed:
    model = Timed("a", clock, [latency_ms])
    model.provider = provider
    return model


def counter(monkeypatch: pytest.MonkeyPatch, clock: Clock, watts: float) -> None:
    """A GPU that draws so many watts: as many millijoules a millisecond."""
    monkeypatch.setattr(module, "gpu_energy_mj", lambda: 5e6 + watts * clock.nanoseconds / 1e6)


@pytest.mark.parametrize(("batch", "each_mj"), [(1, 1500.0), (8, 187.5)])
def test_the_energy_of_a_second_is_divided_by_its_images(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, batch: int, each_mj: float
) -> None:
    counter(monkeypatch, clock, watts=150.0)
    model = on("CUDAExecutionProvider", clock)

    assert module.energy_mj(subject(model, batch=batch)) == pytest.approx(each_mj)
    assert model.iterations == 100


def test_what_the_gpu_draws_between_the_queries_counts(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    counter(monkeypatch, clock, watts=150.0)

    found = module.energy_mj(subject(on("CUDAExecutionProvider", clock), interval_ms=30.0))

    assert found == pytest.approx(6000.0)


def test_a_session_on_the_cpu_uses_none_of_the_gpu_s(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    counter(monkeypatch, clock, watts=150.0)
    model = on("CPUExecutionProvider", clock)

    assert module.energy_mj(subject(model)) == "unavailable"
    assert model.iterations == 0


@pytest.mark.parametrize("readings", [("unavailable",), (5.0, "unavailable"), (5.0, 5.0)])
def test_a_counter_that_tells_nothing_gives_no_zero(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, readings: tuple[Reading, ...]
) -> None:
    given = iter(readings)
    monkeypatch.setattr(module, "gpu_energy_mj", lambda: next(given))

    assert module.energy_mj(subject(on("CUDAExecutionProvider", clock))) == "unavailable"


@pytest.mark.parametrize(
    ("provider", "gpu"),
    [
        ("CPUExecutionProvider", False),
        ("CUDAExecutionProvider", True),
        ("CUDAExecutionProvider+CPUExecutionProvider", True),
        ("TensorrtExecutionProvider", True),
        ("NvTensorRTRTXExecutionProvider", True),
        ("tensorrt_rtx 1.7.1.116 on NVIDIA GeForce RTX 4070", True),
        ("CoreMLExecutionProvider", False),
    ],
)
def test_providers_of_nvidia_gpus_are_known_by_their_names(provider: str, *, gpu: bool) -> None:
    assert module.on_gpu(provider) is gpu
