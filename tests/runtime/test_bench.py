"""The bench, on a clock that only the models move."""

import gc
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from capsedge.contract import Contract
from capsedge.errors import ModelError, WrongUse
from capsedge.runtime import bench as module
from capsedge.runtime.bench import LEAD_IN_SECONDS, TURN_RUNS, WARM_UP_RUNS, WARM_UP_SECONDS, bench
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session

# A latency of which no whole number makes LEAD_IN_SECONDS: a clock of floats may not be asked about a tie.
UNEVEN_MS = 1.2
LEAD_IN_RUNS = ceil(1000 * LEAD_IN_SECONDS / UNEVEN_MS)


@dataclass
class Clock:
    """Time that passes only when somebody lets it."""

    now_ns: int = 0
    log: list[str] = field(default_factory=list)

    def perf_counter(self) -> float:
        return self.now_ns / 1e9

    def perf_counter_ns(self) -> int:
        self.log.append("tick")
        return self.now_ns


class Timed(Session):
    """A model that takes exactly as long as it is told."""

    def __init__(self, name: str, clock: Clock, latencies_ms: list[float]) -> None:
        self.name, self.file, self.provider = name, Path(name), "Clock"
        self.contract: Contract | None = None
        self.batch_limits: tuple[int, int] | None = None
        self.runs = 0
        self._clock, self._latencies_ms = clock, latencies_ms

    def feeds(self, batch: int) -> Arrays:
        return {"x": np.zeros(batch)}

    def run_raw(self, feeds: Arrays) -> Arrays:
        self._clock.log.append(self.name)
        self._clock.now_ns += round(1e6 * self._latencies_ms[self.runs % len(self._latencies_ms)])
        self.runs += 1
        return feeds

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock.perf_counter)
    monkeypatch.setattr(module, "perf_counter_ns", clock.perf_counter_ns)
    return clock


def warm_up(clock: Clock, name: str) -> int:
    """How many runs of `name` came before the first timed one."""
    return clock.log[: clock.log.index("tick")].count(name)


def test_latency_throughput_and_ratio_are_those_of_the_clock(clock: Clock) -> None:
    slow, fast = Timed("slow", clock, [4.0]), Timed("fast", clock, [1.0])

    report = bench([slow, fast], batch=8, runs=662)

    first, second = report.models
    assert (first.model, first.provider, first.runs, report.batch) == ("slow", "Clock", 662, 8)
    assert (first.p50_ms, first.p90_ms, first.p99_ms, first.mean_ms) == (4.0, 4.0, 4.0, 4.0)
    assert (first.images_per_second, second.images_per_second) == (2000.0, 8000.0)
    assert (first.times_first, second.times_first) == (1.0, 0.25)
    assert second.times_first_interval == (0.25, 0.25)


def test_the_models_take_turns_in_rounds_of_changing_order(clock: Clock) -> None:
    bench([Timed(name, clock, [UNEVEN_MS]) for name in "abc"], runs=10 * TURN_RUNS)

    measured = clock.log[clock.log.index("tick") - LEAD_IN_RUNS :]
    turns = "".join(name for name in measured if name != "tick")
    length = LEAD_IN_RUNS + TURN_RUNS
    rounds = [turns[start : start + 3 * length] for start in range(0, len(turns), 3 * length)]
    assert len(rounds) == 10
    assert all(sorted(one) == sorted("abc" * length) for one in rounds)
    orders = {one[::length] for one in rounds}
    assert len(orders) > 1
    assert all(one == "".join(name * length for name in one[::length]) for one in rounds)


def test_the_order_is_the_same_in_every_measurement(clock: Clock) -> None:
    logs = []
    for _ in range(2):
        clock.now_ns = 0
        clock.log.clear()
        bench([Timed(name, clock, [1.0]) for name in "abc"], runs=40)
        logs.append(list(clock.log))

    assert logs[0] == logs[1]


@pytest.mark.parametrize(("latency_ms", "untimed"), [(UNEVEN_MS, LEAD_IN_RUNS), (2.0, 3), (100.0, 1)])
def test_a_turn_begins_with_runs_that_are_not_timed(clock: Clock, latency_ms: float, untimed: int) -> None:
    bench([Timed(name, clock, [latency_ms]) for name in "ab"], runs=TURN_RUNS)

    turn = clock.log[clock.log.index("tick") - untimed :][: untimed + 3 * TURN_RUNS]
    name = turn[0]
    assert turn == [*[name] * untimed, *["tick", name, "tick"] * TURN_RUNS]


def test_a_model_alone_is_timed_in_every_run_after_the_warm_up(clock: Clock) -> None:
    model = Timed("a", clock, [1.0])

    report = bench([model], runs=20)

    assert model.runs - warm_up(clock, "a") == report.models[0].runs == 20


@pytest.mark.parametrize(("latency_ms", "runs"), [(1.0, 300), (1000.0, WARM_UP_RUNS)])
def test_the_warm_up_lasts_its_time_and_its_count(clock: Clock, latency_ms: float, runs: int) -> None:
    bench([Timed("a", clock, [latency_ms])], runs=20)

    assert warm_up(clock, "a") == runs
    assert runs * latency_ms / 1000 >= WARM_UP_SECONDS


def test_slow_first_runs_do_not_reach_the_figures(clock: Clock) -> None:
    report = bench([Timed("a", clock, [500.0, *[1.0] * 10_000])], runs=100)

    assert report.models[0].mean_ms == 1.0


def test_what_happens_between_the_runs_is_not_timed(clock: Clock) -> None:
    def draw(share: float) -> None:
        clock.now_ns += 10**9

    report = bench([Timed("a", clock, [1.0]), Timed("b", clock, [2.0])], runs=100, progress=draw)

    assert [model.mean_ms for model in report.models] == [1.0, 2.0]


def test_no_garbage_is_collected_while_a_model_is_timed(clock: Clock) -> None:
    states = []

    class Watching(Timed):
        def run_raw(self, feeds: Arrays) -> Arrays:
            states.append(gc.isenabled())
            return super().run_raw(feeds)

    bench([Watching("a", clock, [1.0])], runs=20)

    assert states[-20:] == [False] * 20
    assert gc.isenabled()


@pytest.mark.parametrize("runs", [1, TURN_RUNS, TURN_RUNS + 1, 3 * TURN_RUNS - 1])
def test_runs_are_counted_exactly(clock: Clock, runs: int) -> None:
    report = bench([Timed("a", clock, [1.0]), Timed("b", clock, [1.0])], runs=runs, keep_samples=True)

    assert [model.runs for model in report.models] == [runs, runs]
    assert [len(model.samples_ms or ()) for model in report.models] == [runs, runs]


def test_seconds_are_for_each_model(clock: Clock) -> None:
    start = clock.now_ns
    report = bench([Timed("a", clock, [UNEVEN_MS]), Timed("b", clock, [UNEVEN_MS])], seconds=2.0)

    round_seconds = 2 * (LEAD_IN_RUNS + TURN_RUNS) * UNEVEN_MS / 1000
    assert (clock.now_ns - start) / 1e9 == pytest.approx(4.0 + 2 * WARM_UP_SECONDS, abs=round_seconds)
    assert report.rounds == pytest.approx(4.0 / round_seconds, abs=1)


def test_percentiles_that_the_runs_do_not_support_are_left_out(clock: Clock) -> None:
    (model,) = bench([Timed("a", clock, [1.0])], runs=64).models

    assert (model.p50_ms, model.p90_ms, model.p99_ms) == (1.0, 1.0, None)


def test_a_disturbance_of_the_machine_leaves_the_ratio_as_it_is(clock: Clock) -> None:
    """The machine is five times slower in one half of the rounds, as when another program runs."""

    class Disturbed(Timed):
        def run_raw(self, feeds: Arrays) -> Arrays:
            before = self._clock.now_ns
            outputs = super().run_raw(feeds)
            if self.runs > 400:
                self._clock.now_ns += 4 * (self._clock.now_ns - before)
            return outputs

    report = bench([Disturbed("a", clock, [2.0]), Disturbed("b", clock, [1.0])], runs=400)

    assert report.models[0].mean_ms > 3.0
    assert report.models[1].times_first == 0.5


def test_samples_are_kept_only_where_they_are_asked_for(clock: Clock) -> None:
    model = Timed("a", clock, [3.0])

    assert bench([model], runs=11).models[0].samples_ms is None
    assert bench([model], runs=11, keep_samples=True).models[0].samples_ms == (3.0,) * 11


def test_progress_rises_to_1(clock: Clock) -> None:
    shares: list[float] = []
    bench([Timed("a", clock, [1.0])], runs=TURN_RUNS + 2, progress=shares.append)

    assert shares == [0.8, 1.0]


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"seconds": 0.0}, {"runs": 0}])
def test_numbers_below_their_range_are_wrong_use(clock: Clock, wrong: dict[str, int]) -> None:
    with pytest.raises(WrongUse, match="batch, seconds and runs above 0"):
        bench([Timed("a", clock, [1.0])], **wrong)  # type: ignore[arg-type]


def test_no_model_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="bench wants one model or more"):
        bench([])


def test_real_models_are_timed_and_the_machine_is_described(models: Path) -> None:
    with open_session(models / "good.onnx") as ours, open_session(models / "foreign.onnx") as foreign:
        report = bench([ours, foreign], batch=2, runs=11)

    assert [model.model for model in report.models] == [ours.name, foreign.name]
    assert all(model.p50_ms is not None and model.p50_ms > 0 for model in report.models)
    assert report.machine.cores >= 1
    assert report.machine.cpu
    assert next(iter(report.machine.onnxruntime)).startswith("onnxruntime")


def test_a_model_that_does_not_take_the_batch_stops_the_bench_before_anything_is_timed(models: Path) -> None:
    with (
        open_session(models / "batch-of-2.onnx") as session,
        pytest.raises(ModelError, match="takes batches of 2, 8 was given"),
    ):
        bench([session], batch=8, runs=1)
