"""A whole measurement, on a clock that only the models move, and on real models."""

import gc
import hashlib
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from capsedge.contract import Score
from capsedge.errors import ModelError, WrongUse
from capsedge.measure.bench import warnings
from capsedge.measure.bench.benchmark import assemble
from capsedge.measure.bench.case import case_of
from capsedge.measure.bench.loop import Subject
from capsedge.measure.bench.measure import measure
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import BenchReport, BenchWarning, Breakdown, Group, Warmup
from capsedge.measure.machine import Conditions
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.open import open_session
from capsedge.runtime.session import SessionWarning, contract_needed
from capsedge.runtime.settings import Settings
from tests.measure.bench.clocked import Clock, Timed, subject

# The package exports the function by the name of its module.
measuring = import_module("capsedge.measure.bench.measure")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other program runs."""
    monkeypatch.setattr(warnings, "load_of_others", lambda _: 0.0)


def codes(group: Group) -> list[tuple[str, str | None]]:
    return [(each.code, each.case) for each in group.warnings]


def test_latency_throughput_ratio_and_parts_are_those_of_the_clock(clock: Clock) -> None:
    slow, fast = Timed("slow", clock, [40.0, 4.0]), Timed("fast", clock, [30.0, 1.0])

    group = measure([slow, fast], Plan(scenario="multi-stream"))

    first, second = group.cases
    assert (first.label, first.model, first.provider, group.batch) == ("slow", "slow", "CPUExecutionProvider", 8)
    assert [(each.percent, each.value_ms, each.bound_ms) for each in first.percentiles] == [
        (percent, 4.0, 4.0) for percent in (50, 90, 95, 99)
    ]
    assert (first.images_per_second, second.images_per_second) == (2000.0, 8000.0)
    assert first.ratio is None
    assert second.ratio is not None
    assert (second.ratio.value, second.ratio.low, second.ratio.high) == (0.25, 0.25, 0.25)
    assert (first.breakdown.load_ms, first.breakdown.first_inference_ms, first.breakdown.compute_ms) == (
        12.0,
        40.0,
        1.5,
    )
    assert second.breakdown.first_inference_ms == 30.0
    assert group.warnings == ()


def test_every_case_has_10_seconds_and_662_iterations_after_a_warm_up_of_a_second_and_50(clock: Clock) -> None:
    group = measure([Timed("a", clock, [0.5]), Timed("b", clock, [30.0])], Plan())

    for case in group.cases:
        assert case.iterations >= 662
        assert case.iterations * case.mean_ms >= 10_000
        assert case.warmup.iterations >= 50
        assert case.warmup.seconds >= 1.0
        assert case.warmup.settled
        assert len(case.samples_ms) == group.rounds


def test_a_quick_measurement_is_short_and_marked(clock: Clock) -> None:
    group = measure([Timed("a", clock, [1.0])], Plan(quick=True))

    assert group.quick
    assert codes(group)[0] == ("quick", None)
    assert clock.nanoseconds < 3e9


def test_the_breakdown_can_be_left_out_and_first_queries_come_before_any_warm_up(clock: Clock) -> None:
    with_breakdown, without = ([Timed(name, clock, [1.0]) for name in "ab"] for _ in range(2))

    measure(with_breakdown, Plan(iterations=20))
    case, _ = measure(without, Plan(iterations=20, breakdown=False)).cases

    assert clock.ran[:3] == ["a", "b", "a"]
    assert with_breakdown[0].iterations - without[0].iterations == 31
    assert case.breakdown == Breakdown()


def test_no_garbage_is_collected_while_a_model_is_timed(clock: Clock) -> None:
    states: list[bool] = []

    class Watching(Timed):
        def run_raw(self, feeds: Arrays) -> Arrays:
            states.append(gc.isenabled())
            return super().run_raw(feeds)

    measure([Watching("a", clock, [1.0])], Plan(iterations=20, breakdown=False))

    assert states[-20:] == [False] * 20
    assert gc.isenabled()


def test_a_disturbance_of_the_machine_leaves_the_ratio_as_it_is(clock: Clock) -> None:
    """The machine is five times slower from some moment on, as when another program starts."""
    start_ns = 4_000_000_000

    def on_machine(latency_ms: float) -> Timed:
        return Timed("a", clock, lambda _: latency_ms * (5 if clock.nanoseconds > start_ns else 1))

    group = measure([on_machine(2.0), on_machine(1.0)], Plan(iterations=800, breakdown=False))

    first, second = group.cases
    assert first.max_ms == 10.0
    assert first.min_ms == 2.0
    assert second.ratio is not None
    assert (second.ratio.value, second.ratio.low, second.ratio.high) == (0.5, 0.5, 0.5)


def test_the_state_of_the_machine_is_read_after_the_warm_up_and_its_load_before(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock rises with the warm-up and falls with the heat, and the load grows with our own threads."""

    def state() -> Conditions:
        seconds = clock.nanoseconds / 1e9
        throttling = ("thermal",) if 4 < seconds < 9 else ()
        return Conditions(
            load_average=seconds, gpu_mhz=210 if seconds < 1 else 1500 - seconds, gpu_throttling=throttling
        )

    monkeypatch.setattr(measuring, "conditions", state)

    group = measure([Timed("a", clock, [1.0])], Plan(breakdown=False))

    warm, end = group.cases[0].warmup.seconds + 0.001, group.cases[0].iterations / 1000
    assert group.before == Conditions(load_average=0.0, gpu_mhz=1500 - warm, gpu_throttling=())
    assert group.after.load_average == pytest.approx(warm + end)
    (warning,) = group.warnings
    assert (warning.code, "(thermal)" in warning.text) == ("gpu-throttled", True)


def test_warnings_of_a_session_are_warnings_of_its_case(clock: Clock) -> None:
    plain, foreign = Timed("plain", clock, [1.0]), Timed("foreign", clock, [1.0])
    foreign.warnings = (SessionWarning("assumed-size", "of its input 'x', H can be any size, taken as 1"),)

    found = measure([plain, foreign], Plan(iterations=20, breakdown=False)).warnings
    assert [(each.case, each.text) for each in found if each.code == "assumed-size"] == [
        ("foreign", foreign.warnings[0].text)
    ]


def test_too_few_rounds_and_a_warm_up_that_does_not_settle_give_warnings(clock: Clock) -> None:
    unsettled = Timed("a", clock, lambda run: 1.02**run)
    group = measure([unsettled, Timed("b", clock, [1.0])], Plan(iterations=11, quick=True))

    assert {("few-rounds", None), ("not-settled", "a")} <= set(codes(group))


def test_a_model_that_is_too_slow_for_its_percentiles_ends_with_a_warning(clock: Clock) -> None:
    group = measure([Timed("a", clock, [1000.0])], Plan(breakdown=False))

    assert group.cases[0].iterations == 182  # a round ends as it was laid out
    assert [each.percent for each in group.cases[0].percentiles] == [50, 90, 95]
    (warning,) = [each for each in group.warnings if each.code == "few-iterations"]
    assert warning.case == "a"
    assert "p99 needs 662 iterations, 182 were made within the limit of 180 s" in warning.text


@pytest.mark.parametrize("labels", [None, ["one", "two", "three"]])
def test_a_case_has_the_given_label_or_a_numbered_name(clock: Clock, labels: list[str] | None) -> None:
    group = measure([Timed("a", clock, [1.0]) for _ in range(3)], Plan(iterations=20), labels=labels)

    assert [case.label for case in group.cases] == (labels or ["a", "a (2)", "a (3)"])
    assert {case.model for case in group.cases} == {"a"}


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (["one"], "a unique label for each of 2 models"),
        (["one", "one"], "a unique label for each of 2 models"),
        ([], "expected at least one model"),
    ],
)
def test_labels_that_are_not_unique_and_no_session_are_wrong_use(clock: Clock, labels: list[str], line: str) -> None:
    with pytest.raises(WrongUse, match=line):
        measure([Timed("a", clock, [1.0]) for _ in range(2 if labels else 0)], Plan(), labels=labels)


def test_a_batch_that_one_model_does_not_accept_is_refused_before_any_model_runs(clock: Clock) -> None:
    free, fixed = Timed("free", clock, [1.0]), Timed("fixed", clock, [1.0])
    fixed.batch_limits = (1, 4)

    with pytest.raises(ModelError, match="'fixed': expected a batch of 1 to 4, got 8"):
        measure([free, fixed], Plan(batch=8))
    assert clock.ran == []


def sessions(clock: Clock, folder: Path, **latencies_ms: float) -> list[Timed]:
    """Models whose files are there."""
    found = [Timed(name, clock, [latency]) for name, latency in latencies_ms.items()]
    for each in found:
        each.file = folder / each.name
        each.file.write_text(each.name)
    return found


def test_the_unfinished_group_is_saved_every_ten_seconds_and_after_the_rounds(clock: Clock, tmp_path: Path) -> None:
    kept: list[tuple[float, Group]] = []

    group = measure(
        sessions(clock, tmp_path, a=2.0, b=1.0),
        Plan(duration=20.0),
        keep=lambda so_far: kept.append((clock.nanoseconds / 1e9, so_far)),
    )

    times = [seconds for seconds, _ in kept]
    assert all(10.0 <= later - sooner < 11.0 for sooner, later in pairwise(times[:-1]))
    assert len(kept) == 5
    for _, so_far in kept:
        assert (so_far.unfinished, so_far.processes, so_far.warnings) == (True, 1, (warnings.UNFINISHED,))
        assert all(len(case.samples_ms) == so_far.rounds > 0 for case in so_far.cases)
        assert so_far.cases[1].ratio is not None
        assert so_far.cases[1].breakdown == Breakdown()
    assert kept[-1][1].cases[0].samples_ms == group.cases[0].samples_ms
    assert (group.unfinished, group.processes, group.warnings) == (False, 1, ())


def test_an_interrupted_group_continues_with_its_rounds_and_warnings(clock: Clock, tmp_path: Path) -> None:
    kept: list[Group] = []
    plan = Plan(duration=20.0)
    measure(sessions(clock, tmp_path, a=2.0, b=1.0), plan, keep=kept.append)
    busy = BenchWarning(code="busy", text="it was busy")
    begun = replace(kept[1], warnings=(busy, *kept[1].warnings))

    again = sessions(clock, tmp_path, a=3.0, b=1.5)
    group = measure(again, plan, earlier=begun, keep=kept.append)

    for was, is_ in zip(begun.cases, group.cases, strict=True):
        assert is_.samples_ms[: begun.rounds] == was.samples_ms
        assert is_.max_ms == 1.5 * was.max_ms  # the new process is slower, and its rounds come after
        assert 20.0 <= is_.iterations * is_.mean_ms / 1000 < 21.0
        assert is_.warmup.settled
    assert group.processes == kept[-1].processes == 2
    assert not group.unfinished
    assert codes(group) == [("busy", None), ("resumed", None)]


@pytest.mark.parametrize("other", ["content", "label", "settings", "provider", "whole"])
def test_rounds_of_another_session_do_not_count(clock: Clock, tmp_path: Path, other: str) -> None:
    kept: list[Group] = []
    measure(sessions(clock, tmp_path, a=2.0), Plan(iterations=100), keep=kept.append)
    begun = kept[-1] if other != "whole" else replace(kept[-1], unfinished=False)
    (again,) = sessions(clock, tmp_path, a=3.0)
    if other == "content":
        again.file.write_text("trained again")
    if other == "settings":
        again.settings = Settings(threads=3)
    if other == "provider":
        again.provider = "CUDAExecutionProvider"

    group = measure([again], Plan(iterations=100), labels=["b" if other == "label" else "a"], earlier=begun)

    assert (group.processes, group.cases[0].min_ms) == (1, 3.0)


def test_a_case_has_the_hash_of_its_file_as_it_was_before_the_measurement(clock: Clock, tmp_path: Path) -> None:
    (one,) = sessions(clock, tmp_path, a=1.0)

    def replaced(_: Group) -> None:
        one.file.write_text("trained again")

    group = measure([one], Plan(iterations=20), keep=replaced)

    assert group.cases[0].sha256 == hashlib.sha256(b"a").hexdigest()
    one.file.unlink()
    assert measure([one], Plan(iterations=20)).cases[0].sha256 is None


def test_real_models_are_timed_and_the_report_survives_its_json(models: Path) -> None:
    plan = Plan(iterations=24, quick=True, batch=2)
    with open_session(models / "good.onnx") as ours, open_session(models / "foreign.onnx") as foreign:
        group = measure([ours, foreign], plan)

    report = assemble([group], plan, ["capsedge", "bench", "good.onnx"])

    ours_case, foreign_case = report.groups[0].cases
    assert ours_case.breakdown.decode_ms is not None
    assert ours_case.breakdown.decode_ms > 0
    assert foreign_case.breakdown.decode_ms is None
    assert all(case.iterations == 24 and case.min_ms > 0 for case in (ours_case, foreign_case))
    assert foreign_case.ratio is not None
    assert foreign_case.ratio.low is not None
    assert report.created.endswith("+00:00")
    assert msgspec.json.decode(msgspec.json.encode(report), type=BenchReport) == report


WARMUP = Warmup(iterations=50, seconds=1.0, settled=True)
TRAINED = (Score("trained", "validation", 5000, 0.09), Score("trained", "test", 10_000, 0.10))


def measured(clock: Clock, *rounds: list[float], batch: int = 1) -> Subject:
    one = subject(Timed("a", clock, [1.0]), batch=batch)
    one.rounds = list(rounds)
    return one


def test_the_figures_are_those_of_all_samples_and_nothing_is_clipped(clock: Clock) -> None:
    one = measured(clock, [1.0, 2.0], [3.0, 94.0], batch=8)

    case = case_of(one, one, warmup=WARMUP, breakdown=Breakdown(load_ms=5.0), energy_mj=3.5)

    assert (case.iterations, case.mean_ms, case.min_ms, case.max_ms) == (4, 25.0, 1.0, 94.0)
    assert case.images_per_second == pytest.approx(8 / 0.025)
    assert case.samples_ms == ((1.0, 2.0), (3.0, 94.0))
    assert (case.breakdown.load_ms, case.energy_mj, case.percentiles) == (5.0, 3.5, ())
    # A file without a contract:
    assert (case.precision, case.routing, case.error, case.error_on) == (None, None, None, None)


@pytest.mark.parametrize(
    ("scores", "error"),
    [
        ((*TRAINED, Score("fp32", "validation", 5000, 0.11), Score("fp32", "test", 10_000, 0.12)), (0.12, "test")),
        ((*TRAINED, Score("fp32", "validation", 5000, 0.11)), (0.11, "validation")),
        (TRAINED, (None, None)),  # of the network in torch: another file
        ((*TRAINED, Score("int8", "test", 10_000, 0.2)), (None, None)),
        ((), (None, None)),
    ],
)
def test_a_contract_gives_precision_routing_and_the_error_of_the_file_itself(
    clock: Clock, good: Path, scores: tuple[Score, ...], error: tuple[float | None, str | None]
) -> None:
    one = measured(clock, [1.0])
    with open_session(good) as session:
        contract = replace(contract_needed(session), scores=scores, routing="l2")

    for collapsed, routing in ((True, "l2, collapsed"), (False, "l2")):
        one.session.contract = replace(contract, collapsed=collapsed)
        case = case_of(one, one, warmup=WARMUP)
        assert (case.precision, case.routing, (case.error, case.error_on)) == ("fp32", routing, error)
