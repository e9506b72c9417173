"""What each session is measured for alone, after the rounds: where the time of a query goes, and the GPU's energy."""

from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import cycle
from statistics import median
from typing import TypeVar

from capsedge.contract import Contract
from capsedge.measure.bench import clock
from capsedge.measure.bench.loop import Subject
from capsedge.measure.bench.report import Breakdown
from capsedge.measure.machine import Reading, gpu_energy_mj

_ITERATIONS = 30
_FEWEST_ITERATIONS = 3
_ENERGY_SECONDS = 1.0  # the counter moves in steps of some tens of milliseconds

Value = TypeVar("Value")


def breakdown_of(subject: Subject, first_inference_ms: float, longest_seconds: float) -> Breakdown:
    """Measure the parts of a query, alone and after the rounds: the events around the copies cost time themselves.

    Each is the median of 30 iterations at the subject's cadence, or of fewer where these take longer than they may.

    Args:
        subject: Warmed up.
        first_inference_ms: The first query, timed when it was sent.
        longest_seconds: Limit for each of the two, decoding and running.

    Raises:
        ModelError: The model fails, or its golden sample is damaged.
    """

    def parts_of_query() -> tuple[float | None, float, float | None]:
        subject.idle()
        found = subject.session.run_split(subject.feeds)
        return found.copy_in_ms, found.compute_ms, found.copy_out_ms

    contract = subject.session.contract
    copies_in, computes, copies_out = zip(*_repeated(parts_of_query, longest_seconds), strict=True)
    return Breakdown(
        load_ms=subject.session.load_ms,
        first_inference_ms=first_inference_ms,
        decode_ms=None if contract is None else subject.batch * _decode_ms(contract, longest_seconds),
        copy_in_ms=_median(copies_in),
        compute_ms=_median(computes),
        copy_out_ms=_median(copies_out),
    )


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
    while len(values) < _ITERATIONS and (
        len(values) < _FEWEST_ITERATIONS or clock.seconds_since(start) < longest_seconds
    ):
        values.append(measure())
    return values


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def energy_mj(subject: Subject) -> Reading:
    """Run a session alone for a second, at its cadence, and divide what the GPU has used by the images.

    What an idle GPU draws between the queries is part of it. Not run on a GPU yet.

    Returns:
        Millijoules an image; "unavailable" where the session is not on an NVIDIA GPU, or that has no counter.

    Raises:
        ModelError: The model fails.
    """
    if not on_gpu(subject.session.provider) or (before := gpu_energy_mj()) == "unavailable":
        return "unavailable"
    start = clock.now_ns()
    queries = 0
    while clock.seconds_since(start) < _ENERGY_SECONDS:
        subject.query()
        queries += 1
    after = gpu_energy_mj()
    if after == "unavailable" or after <= before:
        return "unavailable"
    return (after - before) / (queries * subject.batch)


def on_gpu(provider: str) -> bool:
    """Whether a provider, as `Session.provider` names it, runs on an NVIDIA GPU."""
    return any(name in provider.lower() for name in ("cuda", "tensorrt"))
