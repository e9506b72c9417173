"""The scenario `server`: the highest rate whose p99 holds a bound, on a clock that only the models move."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.measure.bench import server, warnings
from capsedge.measure.bench.benchmark import assemble
from capsedge.measure.bench.files import load, save
from capsedge.measure.bench.load import Answered, Query, open_loop
from capsedge.measure.bench.measure import measure
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import Case, Group
from capsedge.measure.bench.server import RateSearch
from capsedge.runtime.feeds import Arrays
from tests.measure.bench.clocked import Clock, Timed

SERVICE_MS = 2.0


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other program runs."""
    monkeypatch.setattr(warnings, "load_of_others", lambda _: 0.0)


def p99_of_queue(qps: float, seed: int, count: int = 100_000) -> float:
    """The p99 of a queue with a constant service, by Lindley's recursion with other arrivals."""
    gaps = np.random.default_rng(seed).exponential(1000 / qps, count)
    wait, latencies = 0.0, np.empty(count)
    for index, gap in enumerate(gaps):
        wait = max(0.0, wait - gap)
        latencies[index] = wait + SERVICE_MS
        wait += SERVICE_MS
    return float(np.percentile(latencies, 99))


@pytest.mark.parametrize("true", [730.0, 123.4, 990.0, 40.0])
def test_the_search_finds_a_rate_to_two_percent(true: float) -> None:
    search = RateSearch(1000.0)
    tried = []
    while (rate := search.rate) is not None:
        tried.append(rate)
        search.record(held=rate <= true)

    assert search.highest is not None
    assert 0.975 * true < search.highest <= true
    assert len(tried) <= 10
    assert len({*tried}) == len(tried)


@pytest.mark.parametrize("true", [1_700.0, 4_900.0])
def test_a_capacity_that_was_measured_too_low_caps_no_search(true: float) -> None:
    search = RateSearch(1000.0)
    while (rate := search.rate) is not None:
        search.record(held=rate <= true)

    assert search.highest is not None
    assert 0.95 * true < search.highest <= true


def test_the_search_ends_with_the_lowest_rate_that_a_trial_can_judge() -> None:
    search, tried = RateSearch(10.0, lowest_qps=3.7), []
    while (rate := search.rate) is not None:
        tried.append(rate)
        search.record(held=False)

    assert tried == [5.0, 3.7]


def test_the_search_gives_up_below_a_64th_of_the_capacity() -> None:
    search = RateSearch(1000.0)
    while search.rate is not None:
        search.record(held=False)

    assert search.highest is None


@pytest.mark.parametrize("bound_ms", [6.0, 20.0])
def test_the_highest_rate_is_that_of_a_queue_simulated_independently(clock: Clock, bound_ms: float) -> None:
    (case,) = measure([Timed("a", clock, [SERVICE_MS])], Plan(scenario="server", p99_ms=bound_ms, duration=60)).cases

    assert case.served is not None
    highest = case.served.highest_qps
    assert highest is not None
    assert case.served.capacity_qps == pytest.approx(1000 / SERVICE_MS, rel=1e-3)
    assert p99_of_queue(0.95 * highest, seed=11) < bound_ms
    assert p99_of_queue(1.2 * highest, seed=11) > bound_ms
    held = {trial.qps for trial in case.served.trials if trial.held}
    assert highest == max(held)
    assert all(trial.p99_ms is not None and trial.p99_ms <= bound_ms for trial in case.served.trials if trial.held)
    assert min(trial.qps for trial in case.served.trials if not trial.held) > highest


def test_the_latencies_of_a_case_are_those_of_the_rate_that_it_reports(clock: Clock) -> None:
    (case,) = measure([Timed("a", clock, [SERVICE_MS])], Plan(scenario="server", p99_ms=10, duration=20)).cases

    assert case.served is not None
    trial, samples = case.served.trial, [sample for turn in case.samples_ms for sample in turn]
    assert trial.qps == case.served.highest_qps
    assert len(samples) == trial.queries
    assert np.percentile(samples, 99) == pytest.approx(trial.p99_ms)
    assert case.images_per_second == trial.answered_qps == pytest.approx(trial.qps, rel=0.03)
    assert {len(turn) for turn in case.samples_ms} <= {trial.queries // 20, trial.queries // 20 + 1}


def test_every_trial_of_a_search_has_other_arrivals_at_exactly_its_rate(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[NDArray[np.float64]] = []

    def kept(run: Query, feeds: Arrays, arrivals: NDArray[np.float64], **options: Any) -> Answered:
        drawn.append(arrivals)
        return open_loop(run, feeds, arrivals, **options)

    monkeypatch.setattr(server, "open_loop", kept)
    (case,) = measure([Timed("a", clock, [SERVICE_MS])], Plan(scenario="server", p99_ms=10, duration=1)).cases

    assert case.served is not None
    rates = [1000 * len(arrivals) / arrivals[-1] for arrivals in drawn]
    assert rates == pytest.approx([trial.qps for trial in case.served.trials])
    firsts = {round(float(arrivals[0] * rate), 6) for arrivals, rate in zip(drawn, rates, strict=True)}
    assert len(firsts) == len(drawn) > 3


def test_models_take_turns_with_their_trials_and_have_no_ratio(clock: Clock) -> None:
    models = [Timed("a", clock, [1.0]), Timed("b", clock, [4.0])]
    plan = Plan(scenario="server", p99_ms=20, duration=2, breakdown=False)

    group = measure(models, plan)

    slow, fast = group.cases[1].served, group.cases[0].served
    assert slow is not None
    assert fast is not None
    assert (fast.highest_qps or 0) > 4 * (slow.highest_qps or 0) > 0
    turns = [name for name, following in pairwise(clock.ran) if name != following and name != "idle"]
    assert turns.count("a") > 2
    assert [case.ratio for case in group.cases] == [None, None]
    assert [warning.code for warning in group.warnings] == []


def test_a_query_that_is_slower_than_the_bound_alone_is_tried_at_one_rate(clock: Clock) -> None:
    group = measure([Timed("a", clock, [5.0])], Plan(scenario="server", p99_ms=4, duration=10))

    served = group.cases[0].served
    assert served is not None
    assert (served.highest_qps, len(served.trials)) == (None, 1)
    assert [(each.code, each.case) for each in group.warnings] == [("no-rate", "a")]
    assert "the only rate tried, 100/s, does not hold a p99 of 4 ms" in group.warnings[0].text


def test_a_given_rate_is_tried_once_and_judged_if_there_is_a_bound(clock: Clock) -> None:
    def served(bound_ms: float | None) -> tuple[Case, Group]:
        plan = Plan(scenario="server", duration=10, qps=250, p99_ms=bound_ms)
        group = measure([Timed("a", clock, [SERVICE_MS])], plan)
        return group.cases[0], group

    (plain, _), (loose, _), (tight, said) = served(None), served(50), served(2.5)

    held = [case.served.trials[0].held for case in (plain, loose, tight) if case.served is not None]
    assert held == [None, True, False]
    assert plain.iterations == pytest.approx(2500, abs=1)
    assert plain.served is not None
    assert (plain.served.highest_qps, plain.served.capacity_qps) == (None, None)
    assert [each.text for each in said.warnings] == ["the rate does not hold a p99 of 2.5 ms with 99 % confidence"]


def test_a_rate_above_the_capacity_is_told_with_what_was_answered(clock: Clock) -> None:
    group = measure([Timed("a", clock, [SERVICE_MS])], Plan(scenario="server", qps=2_000, duration=5))

    (warning,) = group.warnings
    assert (warning.code, warning.case) == ("overloaded", "a")
    assert "of 2,000 queries in a second, 500.0 were answered, and " in warning.text
    assert group.cases[0].images_per_second == pytest.approx(500, rel=0.01)


def test_a_rate_a_little_above_the_capacity_is_told_although_all_were_answered(clock: Clock) -> None:
    group = measure([Timed("a", clock, [SERVICE_MS])], Plan(scenario="server", qps=600, duration=5))

    (warning,) = group.warnings
    assert warning.code == "overloaded"
    assert "of 600 queries in a second, 499.5 were answered: the queue grew" in warning.text


@pytest.mark.parametrize(("qps", "codes"), [(350, []), (450, []), (525, ["overloaded"]), (550, ["overloaded"])])
def test_a_twentieth_above_the_capacity_is_told_and_a_tenth_below_is_not(
    clock: Clock, qps: float, codes: list[str]
) -> None:
    group = measure([Timed("a", clock, [SERVICE_MS])], Plan(scenario="server", qps=qps, duration=2))

    assert [warning.code for warning in group.warnings] == codes


def test_a_stall_while_the_capacity_is_measured_does_not_lower_the_result(clock: Clock) -> None:
    warm_up = 500
    stalled = Timed("a", clock, lambda run: 20.0 if warm_up < run < warm_up + 26 else SERVICE_MS)

    (case,) = measure([stalled], Plan(scenario="server", p99_ms=10, duration=20)).cases

    assert case.served is not None
    assert (case.served.capacity_qps or 0) < 150
    assert (case.served.highest_qps or 0) > 240


def test_a_rate_above_the_capacity_does_not_hold_even_a_long_bound(clock: Clock) -> None:
    (case,) = measure([Timed("a", clock, [SERVICE_MS])], Plan(scenario="server", p99_ms=60_000, duration=20)).cases

    assert case.served is not None
    assert 450 < (case.served.highest_qps or 0) < 510


def test_a_model_too_slow_for_a_trial_has_one_trial_and_is_told_what_to_do(clock: Clock) -> None:
    group = measure([Timed("a", clock, [300.0])], Plan(scenario="server", p99_ms=2_000))

    served = group.cases[0].served
    assert served is not None
    assert [trial.qps for trial in served.trials] == pytest.approx([662 / 180])
    assert [each.code for each in group.warnings if each.code == "no-rate"] == ["no-rate"]
    assert clock.nanoseconds < 300e9
    assert any("to try lower rates, use a longer --duration" in each.text for each in group.warnings)


def test_iterations_are_the_queries_of_a_trial(clock: Clock) -> None:
    group = measure([Timed("a", clock, [1.0])], Plan(scenario="server", qps=100, iterations=40, batch=8))

    (case,) = group.cases
    assert (case.iterations, group.scenario, group.qps, group.batch) == (40, "server", 100, 8)
    assert case.served is not None
    assert (case.served.trials[0].p99_ms, case.served.trials[0].bound_ms) == (None, None)
    assert case.images_per_second == pytest.approx(8 * case.served.trial.answered_qps)


def test_a_report_comes_back_with_its_trials(clock: Clock, tmp_path: Path) -> None:
    plan = Plan(scenario="server", p99_ms=10, duration=2)
    report = assemble([measure([Timed("a", clock, [1.0])], plan)], plan, ["capsedge", "bench"])

    save(report, tmp_path / "report.json")

    assert load(tmp_path / "report.json") == report
