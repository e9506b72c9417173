"""A report compared with an earlier one."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from capsedge.errors import WrongUse
from capsedge.measure.bench.baseline import check_cases, check_machine, compare, parse_regression
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import BenchReport, BenchWarning, Change, Comparison, ComparisonWarning
from capsedge.measure.bench.show.text import comparison_warnings
from capsedge.measure.bench.stats import ROUNDS_FOR_INTERVAL
from capsedge.measure.machine import Gpu, Machine
from capsedge.processor import arithmetic
from capsedge.runtime.session import DeviceKind
from capsedge.runtime.settings import Settings
from tests.measure.bench.reports import MACHINE, case, group, report, rounds_of

BUSY = BenchWarning(code="busy", text="it was busy")


def codes(found: Comparison) -> list[str]:
    return [each.code for each in found.warnings]


def of(factor: float = 1.0, *, seed: int = 1, iterations: int = 8, **fields: Any) -> BenchReport:
    """A report of one case that takes `factor` times 2 ms."""
    return report(group(case(samples_ms=rounds_of(2.0 * factor, seed=seed, iterations=iterations)), **fields))


def row(now: BenchReport, then: BenchReport, limit: float = 0.05, metric: str = "p90") -> Change:
    (only,) = [each for each in compare(now, then, limit).rows if each.metric == metric]
    return only


def gpu(name: str) -> Gpu:
    return Gpu(name=name, target="sm87", driver="540.4", cuda="12.6", memory_mb="unavailable")


def test_a_case_that_takes_a_tenth_longer_has_regressed_unless_the_limit_is_higher() -> None:
    found = compare(of(1.1, seed=2), of(), 0.05)
    assert found == compare(of(1.1, seed=2), of(), 0.05)
    only = next(each for each in found.rows if each.metric == "p50")

    assert only.regressed
    assert only.low is not None
    assert only.high is not None
    assert 1 < only.low < only.ratio < only.high < 1.3
    assert only.label == "runs/a p50"
    assert not row(of(1.1, seed=2), of(), 0.5, "p50").regressed


def test_a_case_that_got_slower_in_every_iteration_regresses_in_the_median_if_its_p90_is_uncertain() -> None:
    """One iteration of ten takes 2.5 times as long: p90 lies on the edge."""
    now, then = of(1.5, seed=2), of()

    assert not row(now, then).regressed
    assert row(now, then, metric="p50").regressed


def test_a_case_in_the_same_circumstances_has_neither_regressed_nor_a_warning() -> None:
    found = compare(of(seed=2), of(), 0.05)

    assert [each.regressed for each in found.rows] == [False, False]
    assert found.warnings == ()


def test_a_difference_beyond_the_limit_that_may_be_chance_is_no_regression() -> None:
    """Two rounds of twenty were slow then, and three are now."""
    slow, fast = [2.4] * 8, [2.0] * 8
    then = report(group(case(samples_ms=[fast] * 18 + [slow] * 2)))
    now = report(group(case(samples_ms=[fast] * 17 + [slow] * 3)))

    only = row(now, then)

    assert only.ratio > 1.05
    assert only.low is not None
    assert only.low <= 1
    assert not only.regressed


@pytest.mark.parametrize(
    ("scenario", "iterations", "metric", "figure"),
    [
        ("single-stream", 8, "p90", lambda samples: np.percentile(samples, 90)),
        ("multi-stream", 40, "p99", lambda samples: np.percentile(samples, 99)),
        ("multi-stream", 8, "p50", np.median),
        ("single-stream", 3, "p50", np.median),
        ("offline", 3, "mean", np.mean),
    ],
)
def test_each_scenario_has_its_own_metric(scenario: str, iterations: int, metric: str, figure: Any) -> None:
    now, then = (
        of(1.1, seed=2, scenario=scenario, iterations=iterations),
        of(scenario=scenario, iterations=iterations),
    )
    expected = [figure(np.concatenate(each.groups[0].cases[0].samples_ms)) for each in (now, then)]

    found = compare(now, then, 0.05)

    assert found.rows[0].metric == metric
    assert [found.rows[0].now_ms, found.rows[0].baseline_ms] == pytest.approx(expected)
    assert found.rows[0].ratio == pytest.approx(expected[0] / expected[1])
    assert ("few-iterations" in codes(found)) == (metric == "p50")


def test_too_few_rounds_give_no_interval_and_say_so() -> None:
    few, slow = (report(group(case(samples_ms=rounds_of(ms, rounds=ROUNDS_FOR_INTERVAL - 1)))) for ms in (2.0, 3.0))

    found = compare(slow, few, 0.05)

    assert (found.rows[0].low, found.rows[0].high, found.rows[0].regressed) == (None, None, False)
    assert found.rows[0].unsure
    assert "few-rounds" in codes(found)
    assert "few-rounds" not in codes(compare(few, few, 0.05))


def test_cases_are_matched_by_model_and_settings_not_by_place_or_label() -> None:
    fast, slow = case("a", rounds_of(1.0), model="fast"), case("b", rounds_of(5.0), model="slow")
    then = report(group(fast, slow))
    now = report(group(replace(slow, label="x"), replace(fast, label="y")))

    assert [(each.label, each.ratio) for each in compare(now, then, 0.05).rows] == [
        ("x p90", 1.0),
        ("x p50", 1.0),
        ("y p90", 1.0),
        ("y p50", 1.0),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"model": "another"},
        {"precision": "int8"},
        {"provider": "CUDAExecutionProvider"},
        {"settings": Settings(threads=1)},
    ],
)
def test_a_case_of_another_kind_is_another_case(other: dict[str, Any]) -> None:
    both = case("both", model="both")
    now = report(group(both, replace(case("new", model="m"), **other)))
    then = report(group(both, case("old", model="m")))

    found = compare(now, then, 0.05)

    assert {each.case for each in found.rows} == {"both"}
    assert (found.only_here, found.only_in_baseline) == (("new",), ("old",))
    assert {("not-in-baseline", "new"), ("only-in-baseline", "old")} <= {
        (each.code, each.case) for each in found.warnings
    }


def test_batches_are_compared_each_with_its_own() -> None:
    sweep = report(*(group(case(samples_ms=rounds_of(2.0 * batch)), batch=batch) for batch in (1, 8)))
    slower = report(*(group(case(samples_ms=rounds_of(ms)), batch=batch) for batch, ms in ((1, 2.0), (8, 24.0))))

    found = compare(slower, sweep, 0.05)

    assert {(each.case, each.batch) for each in found.rows if each.regressed} == {("runs/a", 8)}
    assert [each.label for each in found.rows if each.regressed] == ["runs/a, batch 8 p50"]


def test_a_model_given_twice_is_matched_by_its_labels() -> None:
    twice = report(group(case("m", rounds_of(2.0), model="m"), case("m (2)", rounds_of(3.0), model="m")))

    assert [each.ratio for each in compare(twice, twice, 0.05).rows] == [1.0] * 4


def test_no_case_in_common_is_an_error() -> None:
    with pytest.raises(WrongUse, match=r"none of the measured cases \('x'\), it has 'y'"):
        compare(report(group(case("x"))), report(group(case("y"))), 0.05)


# Cloud providers call several generations "AMD EPYC".
ZEN_3, ZEN_4 = (
    replace(MACHINE, cpu="AMD EPYC", processor=arithmetic(sets)) for sets in (("avx2",), ("avx2", "avx512f"))
)
ORIN, THOR = (replace(MACHINE, gpu=gpu(name)) for name in ("Orin", "Thor"))


@pytest.mark.parametrize(
    ("then", "now", "device", "line"),
    [
        (ZEN_3, MACHINE, "cpu", "on the processor 'AMD EPYC', this is 'Cortex-A78AE'"),
        (
            ZEN_3,
            ZEN_4,
            "cpu",
            "on 'AMD EPYC' with the instruction sets avx2, this one has avx2 avx512f",
        ),
        (ORIN, THOR, "gpu", "on the GPU 'Orin', this is 'Thor'"),
        (ORIN, THOR, None, "on the GPU 'Orin', this is 'Thor'"),
    ],
)
def test_another_machine_is_refused_unless_allowed(
    then: Machine, now: Machine, device: DeviceKind | None, line: str
) -> None:
    ours, theirs = (report(group(case(device=device)), machine=machine) for machine in (now, then))

    for refused in (lambda: check_machine(now, theirs), lambda: compare(ours, theirs, 0.05)):
        with pytest.raises(WrongUse, match=rf"{line}: latencies of two machines"):
            refused()
    assert "other-machine" in codes(compare(ours, theirs, 0.05, other_machine=True))


@pytest.mark.parametrize(("then", "now"), [(ORIN, THOR), (ZEN_4, ZEN_4), (replace(ZEN_4, processor=None), ZEN_4)])
def test_an_unused_gpu_and_unknown_instruction_sets_are_accepted(then: Machine, now: Machine) -> None:
    assert compare(report(machine=now), report(machine=then), 0.05).rows


def test_other_versions_cores_and_settings_give_warnings() -> None:
    then = report(
        group(
            case(
                settings=Settings(threads=2, spinning=False, cuda_graph=not Settings().cuda_graph),
                fell_back=("Resize",),
            ),
            warnings=(BUSY,),
        ),
        machine=replace(MACHINE, onnxruntime={"onnxruntime": "1.30.0"}, cores=4),
        capsedge="0.0.9",
    )

    found = compare(report(), then, 0.05)

    assert ComparisonWarning(code="busy", text="it was busy", batch=1, of_baseline=True) in found.warnings
    assert {
        "onnxruntime was 1.30.0, is 1.31.1",
        "the number of cores was 4, is 6",
        "capsedge was 0.0.9, is 0.1.0",
        "'runs/a': spinning was False, is True",
        f"'runs/a': cuda_graph was {not Settings().cuda_graph}, is {Settings().cuda_graph}",
        "'runs/a': operators that fell back to the CPU: Resize in the baseline, nothing now",
        "of the baseline: it was busy",
    } <= set(comparison_warnings(found))


def test_correlated_rounds_give_a_warning() -> None:
    """A speed that lasted for a whole measurement looks like a regression."""
    two_speeds = [[2.0, 2.1, 2.2]] * 10 + [[2.6, 2.7, 2.8]] * 10
    sides = [report(group(case(samples_ms=rounds))) for rounds in (rounds_of(2.0), two_speeds)]

    def told(now: BenchReport, then: BenchReport) -> list[str]:
        return [each.text for each in compare(now, then, 0.05).warnings if each.code == "drift"]

    (there,) = told(sides[0], sides[1])
    (both,) = told(sides[1], sides[1])
    assert "neighbouring rounds of the baseline are correlated" in there
    assert "neighbouring rounds of this report and of the baseline are correlated" in both
    assert told(sides[0], sides[0]) == []


def test_warnings_of_the_baseline_are_kept_once_and_only_for_compared_groups() -> None:
    two = group(case("a"), case("b"), warnings=(BUSY,))
    then = report(two, group(case("a"), batch=8, warnings=(BenchWarning(code="gpu-throttled", text="it throttled"),)))

    told = compare(report(two), then, 0.05).warnings

    assert [each.batch for each in told if each.of_baseline] == [1]


def test_a_warning_names_its_case_batch_and_figure_in_fields_and_on_the_screen() -> None:
    few = [rounds_of(ms, rounds=ROUNDS_FOR_INTERVAL - 1) for ms in (2.0, 3.0)]
    then, now = (
        report(
            group(case(samples_ms=few[0]), warnings=(BUSY,)),
            group(case(samples_ms=samples), batch=8, warnings=(BUSY,)),
        )
        for samples in few
    )

    found = compare(now, then, 0.05)

    noisy = [each for each in found.warnings if each.code == "few-rounds"]
    assert [(each.case, each.batch, each.metric) for each in noisy] == [("runs/a", 8, "p90"), ("runs/a", 8, "p50")]
    assert [line.partition(" x the")[0] for line in comparison_warnings(found)] == [
        "batch 8, 'runs/a': p90: 1.50",
        "batch 8, 'runs/a': p50: 1.50",
        "of the baseline: it was busy",
    ]


def test_a_case_of_one_report_only_is_named_by_its_own_label() -> None:
    found = compare(report(group(case("a")), group(case("a"), batch=8)), report(group(case("a"))), 0.05)

    assert [(each.code, each.case, each.batch) for each in found.warnings] == [("not-in-baseline", "a", 8)]
    assert comparison_warnings(found) == ["batch 8, 'a': it is not in the baseline"]


def test_a_baseline_without_a_case_to_compare_is_refused_before_the_measurement() -> None:
    then = report(group(case("a")), group(case("a"), batch=8))

    check_cases(Plan(), [4, 8], ["b", "a"], then)
    for plan, batches, model in (
        (Plan(scenario="offline"), [8], "a"),
        (Plan(interval_ms=33), [8], "a"),
        (Plan(), [4], "a"),
        (Plan(), [8], "b"),
    ):
        with pytest.raises(WrongUse, match=rf"measured cases \('{model}'\), it has 'a, batch 1', 'a, batch 8'"):
            check_cases(plan, batches, [model], then)


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("5", 0.05), (" 2.5 % ", 0.025), ("0.5%", 0.005), ("0", 0.0), ("150%", 1.5)]
)
def test_a_limit_is_read_as_a_percentage(text: str, share: float) -> None:
    assert parse_regression(text) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "%", "five", "-5%", "nan", "inf", "1e2", "5%%", "5 10", "9" * 400, "\u0665%", "0.05"]
)
def test_a_text_that_is_not_a_percentage_or_ambiguous_is_refused(text: str) -> None:
    ambiguous = r"--max-regression 0\.05 may mean 0\.05% or 5%: add the percent sign"
    invalid = r"percentage from 0 to 999999 for --max-regression, such as 5%, got '.*'"
    with pytest.raises(WrongUse, match=ambiguous if text == "0.05" else invalid):
        parse_regression(text)
