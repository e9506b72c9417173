"""Work that runs ahead of the one who needs it, in threads, in order and in bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from capsedge.cores import usable_cores

if TYPE_CHECKING:
    from collections import deque
    from concurrent.futures import Future

Item = TypeVar("Item")
Done = TypeVar("Done")

_MOST_THREADS = 4


def ahead(
    work: Callable[[Item], Done], items: Iterable[Item], *, most: int, threads: int | None = None
) -> Iterator[tuple[Item, Done]]:
    """Do the work of the coming items while the caller is busy with the last one.

    A single item is worked on in place, and so is everything where `most` is 0: then no item is asked for before the
    one before it was answered. Whatever ends the loop, Ctrl-C too, drops the work that has not begun.

    Args:
        work: Done in threads: it should leave the interpreter's lock, as decoding does. It must come to an end by
            itself: Ctrl-C reaches the caller's thread only, which waits for the work that has begun.
        items: Asked for in the caller's thread.
        most: Items that may wait for the caller; those at work are among them.
        threads: None for one a core, 4 at most.

    Yields:
        Each item with its result, in order. What the work raises is raised in its place.
    """
    coming = iter(items)
    first = list(islice(coming, 2)) if most else []
    if len(first) < 2:
        yield from ((item, work(item)) for item in chain(first, coming))
        return
    from collections import deque
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads or min(_MOST_THREADS, usable_cores()))
    waiting: deque[tuple[Item, Future[Done]]] = deque()
    try:
        for item in chain(first, coming):
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) >= most:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _next(waiting: "deque[tuple[Item, Future[Done]]]") -> tuple[Item, Done]:
    item, done = waiting.popleft()
    return item, done.result()
