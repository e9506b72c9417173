"""Prefetching: in order, bounded, and stopped by whatever ends the loop."""

import threading

import pytest

from capsedge.runtime.infer import prefetch as module
from capsedge.runtime.infer.prefetch import prefetch


@pytest.mark.parametrize("most", [0, 1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_every_item_comes_with_its_result_in_order(count: int, most: int) -> None:
    assert list(prefetch(lambda item: item * item, range(count), most=most)) == [(i, i * i) for i in range(count)]


def test_results_come_in_order_though_the_work_ends_in_another() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(10)
        elif item == 1:
            second_done.set()
        return item

    assert [done for _, done in prefetch(work, range(4), most=4, threads=2)] == [0, 1, 2, 3]


@pytest.mark.parametrize(("most", "count"), [(8, 1), (0, 5)])
def test_a_single_item_and_no_reading_ahead_need_no_thread(count: int, most: int) -> None:
    threads = {done for _, done in prefetch(lambda _: threading.current_thread(), range(count), most=most)}
    assert threads == {threading.main_thread()}


def test_no_more_work_is_taken_than_may_wait() -> None:
    asked = []
    results = prefetch(lambda item: item, (asked.append(i) or i for i in range(1000)), most=5)  # type: ignore[func-returns-value]
    for answered in range(1, 20):
        next(results)
        assert len(asked) <= answered + 5


def test_an_error_is_raised_in_its_place_and_the_rest_is_dropped() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    results = prefetch(work, range(100_000), most=6, threads=2)
    assert [next(results)[1], next(results)[1]] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert len(begun) <= 8
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


def test_leaving_the_loop_ends_the_threads() -> None:
    results = prefetch(lambda item: item, iter(int, 1), most=4)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


@pytest.mark.parametrize(("seconds", "in_place"), [(0.0001, 6), (0.01, 4)])
def test_light_work_is_done_in_place_and_heavy_work_in_threads(
    seconds: float, in_place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first item tells nothing: it may load what all need."""
    clock = [0.0]

    def work(item: int) -> threading.Thread:
        clock[0] += 1.0 if item == 0 else seconds
        return threading.current_thread()

    monkeypatch.setattr(module, "perf_counter", lambda: clock[0])
    threads = [thread for _, thread in prefetch(work, range(6), most=4)]

    assert [thread is threading.main_thread() for thread in threads] == [True] * in_place + [False] * (6 - in_place)
