"""Where the time goes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.data import images
from capsedge.golden import unpack_images
from capsedge.measure.bench.report import Parts
from capsedge.measure.bench.split import RUNS, parts
from capsedge.runtime.open import open_session
from capsedge.runtime.session import QueryBreakdown
from tests.measure.bench.clocked import Clock, Timed, subject


def test_the_parts_are_those_of_the_session_and_its_first_run(clock: Clock) -> None:
    found = parts(subject(Timed("a", clock, [2.0])), first_run_ms=40.0, longest_seconds=5.0)

    assert found == Parts(
        load_ms=12.0, first_run_ms=40.0, decode_ms=None, copy_in_ms=0.25, compute_ms=1.5, copy_out_ms=0.125
    )


def test_copies_that_do_not_exist_have_no_time(clock: Clock) -> None:
    class OnCpu(Timed):
        def run_with_breakdown(self, feeds: object) -> QueryBreakdown:
            return QueryBreakdown(None, 3.0, None)

    found = parts(subject(OnCpu("a", clock, [2.0])), first_run_ms=2.0, longest_seconds=5.0)

    assert (found.copy_in_ms, found.compute_ms, found.copy_out_ms) == (None, 3.0, None)


def test_each_part_is_a_median_and_the_first_of_its_runs_does_not_count(clock: Clock) -> None:
    computed = iter([90.0, *[1.0] * 20, *[7.0] * 10])

    class Uneven(Timed):
        def run_with_breakdown(self, feeds: object) -> QueryBreakdown:
            return QueryBreakdown(None, next(computed), None)

    found = parts(subject(Uneven("a", clock, [1.0])), first_run_ms=1.0, longest_seconds=5.0)

    assert found.compute_ms == 1.0
    assert next(computed, None) is None  # 30 runs and the one that does not count


@pytest.mark.parametrize(("latency_ms", "runs"), [(1.0, RUNS), (1000.0, 5), (60_000.0, 3)])
def test_a_slow_model_is_split_less_often(clock: Clock, latency_ms: float, runs: int) -> None:
    model = Timed("a", clock, [latency_ms])

    parts(subject(model), first_run_ms=1.0, longest_seconds=5.0)

    assert model.runs == runs + 1


def test_the_split_runs_at_the_cadence(clock: Clock) -> None:
    parts(subject(Timed("a", clock, [1.0]), interval_ms=10.0), first_run_ms=1.0, longest_seconds=5.0)

    assert clock.ran == ["idle", "a"] * (RUNS + 1)


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
        found = parts(subject(session, batch=8), first_run_ms=1.0, longest_seconds=5.0)
        assert session.contract is not None
        golden = unpack_images(session.contract.golden, session.contract.input.shape)

    assert found.decode_ms == pytest.approx(4.0)
    np.testing.assert_array_equal(seen[: len(golden)], golden)
    assert len(seen) == RUNS + 1
