"""Takes the steps one after the other: a failure is a record, and never the end of the others."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from benchmarks.prove.place import Place
from benchmarks.prove.record import Failed, Found, NotPossible, Record
from benchmarks.prove.steps import Step

Announce = Callable[[Step], AbstractContextManager[object]]
"""Takes a step that begins, and gives what shall last as long as it does."""


def records_of(steps: Sequence[Step], place: Place, announce: Announce) -> Iterator[tuple[int, Record]]:
    """Take all steps.

    Args:
        steps: The list.
        place: Where.
        announce: Told of each step.

    Yields:
        How many steps are behind, the one of the record counted, and the record.
    """
    for number, step in enumerate(steps, 1):
        findings, start = _findings(step, place), time.perf_counter()
        while True:
            with announce(step):
                found = next(findings, None)
            if found is None:
                break
            now = time.perf_counter()
            yield number, _record(step, found, now - start)
            start = now


def _findings(step: Step, place: Place) -> Iterator[Found]:
    """A step's findings; what it raises is the last of them."""
    try:
        yield from step.run(place)
    except NotPossible as error:
        yield Found(str(error), status="not possible here")
    except Failed as error:
        yield Found(str(error), status="failed")
    except Exception as error:  # a fault of the proof itself: the other steps are worth as much as before
        yield Found(f"the step broke: {type(error).__name__}: {error}", status="failed")


def _record(step: Step, found: Found, seconds: float) -> Record:
    return Record(
        group=step.group,
        name=f"{step.name}: {found.what}" if found.what else step.name,
        path=step.path,
        status=found.status,
        seconds=round(seconds, 2),
        detail=" ".join(found.detail.split()),
        data=found.data,
    )
