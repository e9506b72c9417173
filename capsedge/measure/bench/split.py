"""Where the time goes: loading, the first run, decoding an image, and the copies around the network."""

from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import cycle
from statistics import median
from typing import TypeVar

from capsedge.contract import Contract
from capsedge.measure.bench import clock
from capsedge.measure.bench.report import Parts
from capsedge.measure.bench.subject import Subject
from capsedge.runtime.session import QueryBreakdown

RUNS = 30
_FEWEST_RUNS = 3

Value = TypeVar("Value")


def parts(subject: Subject, first_run_ms: float, longest_seconds: float) -> Parts:
    """Measure the parts of a query, alone and after the rounds: the events around the copies cost time themselves.

    Each is the median of 30 runs at the subject's cadence, or of fewer where these take longer than they may.

    Args:
        subject: Warmed up.
        first_run_ms: The first run, timed when it was made.
        longest_seconds: Limit for each of the two, decoding and running.

    Raises:
        ModelError: The model fails, or its golden sample is damaged.
    """
    contract = subject.session.contract
    splits = _repeated(lambda: _split(subject), longest_seconds)
    return Parts(
        load_ms=subject.session.load_ms,
        first_run_ms=first_run_ms,
        decode_ms=None if contract is None else subject.batch * _decode_ms(contract, longest_seconds),
        copy_in_ms=_median([split.copy_in_ms for split in splits]),
        compute_ms=_median([split.compute_ms for split in splits]),
        copy_out_ms=_median([split.copy_out_ms for split in splits]),
    )


def _split(subject: Subject) -> QueryBreakdown:
    subject.idle()
    return subject.session.run_with_breakdown(subject.feeds)


def _decode_ms(contract: Contract, longest_seconds: float) -> float:
    """Decode and fit images of the golden sample, each a PNG in memory, in turn."""
    from capsedge.data.images import decode_image, fit_image

    pngs = cycle(_pngs(contract))

    def decoded_ms() -> float:
        content = next(pngs)
        start = clock.now_ns()
        fit_image(decode_image(content), contract.input.shape, contract.fit)
        return (clock.now_ns() - start) / 1e6

    return median(_repeated(decoded_ms, longest_seconds))


def _pngs(contract: Contract) -> list[bytes]:
    from PIL import Image

    from capsedge.golden import unpack_images

    contents = []
    for pixels in unpack_images(contract.golden, contract.input.shape):
        buffer = BytesIO()
        Image.fromarray(pixels[..., 0] if contract.input.channels == 1 else pixels).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    return contents


def _repeated(measure: Callable[[], Value], longest_seconds: float) -> list[Value]:
    """Measure once for nothing, which makes what is made once (events, imports), then up to 30 times."""
    measure()
    start = clock.now_ns()
    values: list[Value] = []
    while len(values) < RUNS and (len(values) < _FEWEST_RUNS or clock.seconds_since(start) < longest_seconds):
        values.append(measure())
    return values


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
