"""Clients in a closed loop, and queries that arrive on their own, against the theory of queues."""

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.measure.bench.load import closed_loop, open_loop
from capsedge.measure.bench.stats import arrivals_ms
from capsedge.runtime.feeds import Arrays
from tests.measure.bench.clocked import Clock

NOTHING: Arrays = {}


def taking(clock: Clock, services_ms: NDArray[np.float64]) -> Callable[[Arrays], None]:
    """A model whose queries take these times on the simulated clock, one after the other."""
    times = iter(services_ms.tolist())
    return lambda _: clock.advance(next(times))


def first_come_first_served(
    arrivals: NDArray[np.float64], services: NDArray[np.float64], threads: int = 1
) -> NDArray[np.float64]:
    """Latencies of a queue with one line and several threads, query by query."""
    free = [0.0] * threads
    found = []
    for arrival, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        end = max(arrival, heapq.heappop(free)) + service
        heapq.heappush(free, end)
        found.append(end - arrival)
    return np.array(found)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
def test_the_mean_wait_before_a_constant_service_is_that_of_an_m_d_1_queue(clock: Clock, load: float) -> None:
    """Pollaczek and Khinchine: with a service time s and a load r, the mean wait is r s / (2 (1 - r))."""
    service_ms, count = 2.0, 60_000
    arrivals = arrivals_ms(1000 * load / service_ms, count, seed=3)

    found = open_loop(taking(clock, np.full(count, service_ms)), NOTHING, arrivals, threads=1, longest_s=float("1e6"))

    assert fmean(found.latencies_ms) - service_ms == pytest.approx(load * service_ms / (2 * (1 - load)), rel=0.05)
    assert found.unanswered == 0
    assert found.seconds == pytest.approx(arrivals[-1] / 1000, rel=0.01)


def test_every_latency_is_that_of_a_queue_computed_query_by_query(clock: Clock) -> None:
    generator = np.random.default_rng(1)
    arrivals, services = arrivals_ms(300, 5_000, seed=1), generator.gamma(2.0, 1.5, 5_000)

    found = open_loop(taking(clock, services), NOTHING, arrivals, threads=1, longest_s=1e6)

    np.testing.assert_allclose(found.latencies_ms, first_come_first_served(arrivals, services), atol=0.02)


def test_a_slow_query_delays_those_that_arrive_meanwhile(clock: Clock) -> None:
    """No coordinated omission: a client that waits for the answer would not send them, or not count their wait."""
    services = np.array([100.0, 1.0, 1.0, 1.0])

    found = open_loop(taking(clock, services), NOTHING, np.array([10.0, 20.0, 30.0, 300.0]), threads=1, longest_s=9)

    assert found.latencies_ms == pytest.approx([100.0, 91.0, 82.0, 1.0], abs=0.01)


def test_several_threads_serve_one_line_and_are_never_faster_than_it_allows() -> None:
    """In real time, where a late wake-up only adds to a latency."""
    service_ms, count = 8.0, 80
    arrivals = arrivals_ms(180, count, seed=5)

    found = open_loop(lambda _: time.sleep(service_ms / 1000), NOTHING, arrivals, threads=2, longest_s=60)
    ideal = first_come_first_served(arrivals, np.full(count, service_ms), threads=2)

    assert ideal.max() > 1.4 * service_ms  # some queries wait
    assert (np.array(found.latencies_ms) > ideal - 0.2).all()
    assert np.median(found.latencies_ms - ideal) < 10 * service_ms  # a busy machine wakes threads late


def test_a_queue_that_grows_is_left_at_the_end_and_its_queries_are_counted(clock: Clock) -> None:
    arrivals = arrivals_ms(2_000, 4_000, seed=0)

    found = open_loop(taking(clock, np.full(4_000, 1.0)), NOTHING, arrivals, threads=1, longest_s=3.0)

    assert len(found.latencies_ms) == pytest.approx(3_000, abs=5)
    assert found.unanswered == 4_000 - len(found.latencies_ms)


@pytest.mark.parametrize("serial", [True, False])
def test_clients_divided_by_their_mean_latency_is_the_throughput(*, serial: bool) -> None:
    clients, service_s, seconds = 4, 0.004, 0.4
    answered = []
    with ThreadPoolExecutor(1 if serial else clients) as model:  # serves first whoever comes first, unlike a lock

        def run(_: Arrays) -> None:
            model.submit(time.sleep, service_s).result()
            answered.append(time.perf_counter())

        latencies = closed_loop(run, NOTHING, clients=clients, seconds=seconds, lead_in_s=0.02)
    rate = len(answered) / (answered[-1] - answered[0])

    assert 1000 * clients / fmean(latencies) == pytest.approx(rate, rel=0.3)
    assert min(latencies) >= 1000 * service_s
    assert fmean(latencies) > (3 if serial else 1) * 1000 * service_s
    assert len(latencies) == pytest.approx(rate * seconds, rel=0.4)


def test_a_single_client_sends_the_next_query_when_the_last_is_answered(clock: Clock) -> None:
    latencies = closed_loop(taking(clock, np.full(2_000, 1.0)), NOTHING, clients=1, seconds=0.5, lead_in_s=0.1)

    assert latencies == [1.0] * 500


def test_a_client_counts_a_query_also_if_the_machine_stalls_beyond_the_span(clock: Clock) -> None:
    assert closed_loop(taking(clock, np.full(9, 50.0)), NOTHING, clients=1, seconds=0.01, lead_in_s=0.02) == [50.0]


def test_a_failure_in_one_thread_ends_all_and_is_told() -> None:
    calls = [0]

    def run(_: Arrays) -> None:
        calls[0] += 1
        time.sleep(0.001)
        if calls[0] >= 20:
            raise ModelError("out of memory")

    for load in (
        lambda: closed_loop(run, NOTHING, clients=3, seconds=60, lead_in_s=0),
        lambda: open_loop(run, NOTHING, arrivals_ms(1_000, 60_000, seed=0), threads=3, longest_s=60),
    ):
        calls[0] = 0
        start = time.perf_counter()
        with pytest.raises(ModelError, match="out of memory"):
            load()
        assert time.perf_counter() - start < 10


def test_a_failure_ends_the_wait_of_the_other_threads_for_the_next_arrival() -> None:
    def run(_: Arrays) -> None:
        raise ModelError("out of memory")

    start = time.perf_counter()
    with pytest.raises(ModelError, match="out of memory"):
        open_loop(run, NOTHING, np.array([10.0, 30_000.0]), threads=2, longest_s=200)

    assert time.perf_counter() - start < 10


def test_every_thread_has_untimed_queries_before_the_first_arrival() -> None:
    ran: list[tuple[str, float]] = []

    def run(_: Arrays) -> None:
        ran.append((threading.current_thread().name, time.perf_counter()))
        time.sleep(0.02)

    found = open_loop(run, NOTHING, np.array([100.0]), threads=2, longest_s=9, lead_in=2)

    assert [*Counter(name for name, _ in ran[:4]).values()] == [2, 2]
    assert ran[4][1] - ran[3][1] > 0.1
    assert len(found.latencies_ms) == 1


def test_the_lead_in_of_a_single_thread_counts_in_no_latency(clock: Clock) -> None:
    services = np.array([100.0, 100.0, 1.0, 1.0])

    found = open_loop(taking(clock, services), NOTHING, np.array([10.0, 20.0]), threads=1, longest_s=9, lead_in=2)

    assert found.latencies_ms == pytest.approx([1.0, 1.0])
    assert found.seconds == pytest.approx(0.021)


def test_a_failure_in_the_lead_in_is_told_and_leaves_no_thread_waiting() -> None:
    calls = [0]

    def run(_: Arrays) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise ModelError("out of memory")

    with pytest.raises(ModelError, match="out of memory"):
        open_loop(run, NOTHING, np.array([10.0]), threads=3, longest_s=9, lead_in=1)
