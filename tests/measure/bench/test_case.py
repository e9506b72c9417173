"""What the report says of one session."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from capsedge.contract import Score
from capsedge.measure.bench.case import case_of, error_of
from capsedge.measure.bench.report import Parts, Warmup
from capsedge.measure.bench.subject import Subject
from capsedge.runtime.open import open_session
from capsedge.runtime.session import contract_needed
from tests.measure.bench.clocked import Clock, Timed, subject

WARMUP = Warmup(runs=50, seconds=1.0, settled=True)
TRAINED = (Score("trained", "validation", 5000, 0.09), Score("trained", "test", 10_000, 0.10))


def measured(clock: Clock, *rounds: list[float], batch: int = 1) -> Subject:
    one = subject(Timed("a", clock, [1.0]), batch=batch)
    one.rounds = list(rounds)
    return one


def test_the_figures_are_those_of_all_samples_and_nothing_is_clipped(clock: Clock) -> None:
    one = measured(clock, [1.0, 2.0], [3.0, 94.0], batch=8)

    case = case_of(one, one, warmup=WARMUP, parts=Parts(load_ms=5.0), energy_mj=3.5)

    assert (case.runs, case.mean_ms, case.min_ms, case.max_ms) == (4, 25.0, 1.0, 94.0)
    assert case.images_per_second == pytest.approx(8 / 0.025)
    assert case.samples_ms == ((1.0, 2.0), (3.0, 94.0))
    assert (case.parts.load_ms, case.energy_mj, case.percentiles) == (5.0, 3.5, ())


def test_the_first_session_has_no_ratio_and_the_others_have_theirs_to_it(clock: Clock) -> None:
    first, other = measured(clock, *[[4.0, 4.0]] * 12), measured(clock, *[[1.0]] * 12)

    assert case_of(first, first, warmup=WARMUP, parts=Parts(), energy_mj="unavailable").ratio is None
    found = case_of(other, first, warmup=WARMUP, parts=Parts(), energy_mj="unavailable").ratio
    assert found is not None
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_somebody_else_s_file_has_no_precision_routing_or_error(clock: Clock) -> None:
    one = measured(clock, [1.0])

    case = case_of(one, one, warmup=WARMUP, parts=Parts(), energy_mj="unavailable")

    assert (case.precision, case.routing, case.error, case.error_on) == (None, None, None, None)


@pytest.mark.parametrize(("collapsed", "routing"), [(True, "l2, collapsed"), (False, "l2")])
def test_a_contract_tells_precision_and_routing(good: Path, clock: Clock, *, collapsed: bool, routing: str) -> None:
    with open_session(good) as session:
        contract = replace(contract_needed(session), routing="l2", collapsed=collapsed)
    one = measured(clock, [1.0])
    one.session.contract = contract

    case = case_of(one, one, warmup=WARMUP, parts=Parts(), energy_mj="unavailable")

    assert (case.precision, case.routing) == ("fp32", routing)


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
def test_the_error_is_the_file_s_own(
    good: Path, scores: tuple[Score, ...], error: tuple[float | None, str | None]
) -> None:
    with open_session(good) as session:
        contract = replace(contract_needed(session), scores=scores)

    assert error_of(contract) == error
