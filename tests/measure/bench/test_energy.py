"""Energy of the GPU for one image, by a counter that a test moves."""

import pytest

from capsedge.measure.bench import energy
from capsedge.measure.machine import Reading
from tests.measure.bench.clocked import Clock, Timed, subject


def on(provider: str, clock: Clock, latency_ms: float = 10.0) -> Timed:
    model = Timed("a", clock, [latency_ms])
    model.provider = provider
    return model


def counter(monkeypatch: pytest.MonkeyPatch, clock: Clock, watts: float) -> None:
    """A GPU that draws so many watts: as many millijoules a millisecond."""
    monkeypatch.setattr(energy, "gpu_energy_mj", lambda: 5e6 + watts * clock.nanoseconds / 1e6)


@pytest.mark.parametrize(("batch", "each_mj"), [(1, 1500.0), (8, 187.5)])
def test_the_energy_of_a_second_is_divided_by_its_images(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, batch: int, each_mj: float
) -> None:
    counter(monkeypatch, clock, watts=150.0)
    model = on("CUDAExecutionProvider", clock)

    assert energy.energy_mj(subject(model, batch=batch)) == pytest.approx(each_mj)
    assert model.runs == 100


def test_what_the_gpu_draws_between_the_queries_counts(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    counter(monkeypatch, clock, watts=150.0)

    found = energy.energy_mj(subject(on("CUDAExecutionProvider", clock), interval_ms=30.0))

    assert found == pytest.approx(6000.0)


def test_a_session_on_the_cpu_uses_none_of_the_gpu_s(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    counter(monkeypatch, clock, watts=150.0)
    model = on("CPUExecutionProvider", clock)

    assert energy.energy_mj(subject(model)) == "unavailable"
    assert model.runs == 0


@pytest.mark.parametrize("readings", [("unavailable",), (5.0, "unavailable"), (5.0, 5.0)])
def test_a_counter_that_tells_nothing_gives_no_zero(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, readings: tuple[Reading, ...]
) -> None:
    given = iter(readings)
    monkeypatch.setattr(energy, "gpu_energy_mj", lambda: next(given))

    assert energy.energy_mj(subject(on("CUDAExecutionProvider", clock))) == "unavailable"


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
    assert energy.on_gpu(provider) is gpu
