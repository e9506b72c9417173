"""Queries from several threads to one session: clients in a closed loop, and queries that arrive on their own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsedge.measure.bench import clock
from capsedge.runtime.feeds import Arrays

Query = Callable[[Arrays], object]


class Answered(NamedTuple):
    """Queries that arrived on their own.

    Attributes:
        latencies_ms: From the arrival to the answer, for each answered query in the order of their arrivals.
        unanswered: Queries that were still waiting at the end.
        seconds: From the start, when no query had arrived yet, to the last answer.
    """

    latencies_ms: list[float]
    unanswered: int
    seconds: float


def closed_loop(run: Query, feeds: Arrays, *, clients: int, seconds: float, lead_in_s: float) -> list[float]:
    """Latencies of threads that each send the next query as soon as the last one is answered, in milliseconds.

    All clients are busy all the time: a query counts if it starts within the timed span, or is its client's first
    after the lead-in, and the clients go on with untimed queries until the last counted one is answered. A query
    starts at the moment in which its client's last one ended. So the latencies of a client add up to the whole time,
    and clients / mean latency is the throughput.

    Args:
        run: Runs one query; called from all threads.
        feeds: Inputs of each query.
        clients: Number of threads; a single one runs in the calling thread.
        seconds: Length of the timed span.
        lead_in_s: Untimed time before it, in which the caches fill and the threads start.

    Raises:
        ModelError: The model fails.
    """
    found: list[list[float]] = [[] for _ in range(clients)]
    begin_ns = clock.now_ns() + round(1e9 * lead_in_s)
    end_ns = begin_ns + round(1e9 * seconds)
    passed = [False] * clients
    stop = threading.Event()

    def client(number: int) -> None:
        own, now = found[number], clock.now_ns
        started = now()
        while not stop.is_set():
            run(feeds)
            ended = now()
            if begin_ns <= started and (started < end_ns or not own):
                own.append((ended - started) / 1e6)
            elif started >= end_ns:
                passed[number] = True
                if all(passed):
                    return
            started = ended

    _in_threads(client, clients, stop)
    return [latency for own in found for latency in own]


def open_loop(
    run: Query, feeds: Arrays, arrivals_ms: NDArray[np.float64], *, threads: int, longest_s: float, lead_in: int = 0
) -> Answered:
    """Answer queries in the order of their arrivals, which wait for no answer.

    A latency counts from the arrival as it was drawn, not from the moment in which a thread took the query: the time
    in the queue, and a thread's late wake-up, belong to it. So a slow query delays those behind it (no coordinated
    omission).

    Args:
        run: Runs one query; called from all threads.
        feeds: Inputs of each query.
        arrivals_ms: Arrival times, ascending, [queries].
        threads: Number of threads, each of which takes the next query; a single one is the calling thread.
        longest_s: Time after which no query is started any more.
        lead_in: Untimed queries of each thread before the first arrival, because the threads are new.

    Raises:
        ModelError: The model fails.
    """
    latencies = np.full(len(arrivals_ms), np.nan)
    offsets_ns = np.rint(1e6 * arrivals_ms).astype(np.int64).tolist()
    waiting, lock, stop = iter(enumerate(offsets_ns)), threading.Lock(), threading.Event()
    start_ns = 0

    def begin() -> None:
        nonlocal start_ns
        start_ns = clock.now_ns()

    ready = threading.Barrier(threads, action=begin)

    def lead() -> bool:
        """Run the lead-in, and wait for that of the other threads; returns whether all succeeded."""
        try:
            for _ in range(lead_in):
                run(feeds)
        except BaseException:
            ready.abort()
            raise
        try:
            ready.wait()
        except threading.BrokenBarrierError:
            return False
        return True

    def serve(_: int) -> None:
        if not lead():
            return
        last_ns = start_ns + round(1e9 * longest_s)
        while not stop.is_set():
            with lock:
                index, offset_ns = next(waiting, (-1, 0))
            if index < 0:
                return
            due_ns = start_ns + offset_ns
            now_ns = clock.now_ns()
            if now_ns < due_ns:
                seconds = (due_ns - now_ns) / 1e9
                if threads == 1:
                    clock.sleep(seconds)
                elif stop.wait(seconds):  # a failure or Ctrl-C ends the wait
                    return
            elif now_ns > last_ns:
                return
            run(feeds)
            latencies[index] = (clock.now_ns() - due_ns) / 1e6

    _in_threads(serve, threads, stop)
    answered = latencies[~np.isnan(latencies)]
    seconds = float(np.nanmax(latencies + arrivals_ms)) / 1000 if len(answered) else 0.0
    return Answered(answered.tolist(), len(latencies) - len(answered), seconds)


def _in_threads(work: Callable[[int], None], count: int, stop: threading.Event) -> None:
    """Run `work` in so many threads; the first failure stops the others and is raised."""
    if count == 1:
        work(0)
        return
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(_stopping, work, number, stop) for number in range(count)]
        try:
            for future in futures:
                future.result()
        finally:
            stop.set()


def _stopping(work: Callable[[int], None], number: int, stop: threading.Event) -> None:
    try:
        work(number)
    except BaseException:
        stop.set()
        raise
