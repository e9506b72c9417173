"""Measure the parts of a query and the energy of GPU and CPU, for each session alone and after the rounds."""

from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import cycle
from statistics import median
from typing import TypeVar

from capsedge.contract import Contract
from capsedge.measure.bench import clock
from capsedge.measure.bench.loop import Subject
from capsedge.measure.bench.report import Breakdown
from capsedge.measure.machine import Reading, cpu_energy, energy_between_mj, gpu_energy_mj

_ITERATIONS = 30
_FEWEST_ITERATIONS = 3
_ENERGY_SECONDS = 1.0  # the counter is updated every few tens of milliseconds

Value = TypeVar("Value")


def breakdown_of(subject: Subject, first_inference_ms: float, longest_seconds: float) -> Breakdown:
    """Measure the parts of a query. This runs after the rounds, because the events around the copies take time.

    Each part is the median of 30 iterations at the subject's interval, or of fewer if `longest_seconds` is reached.

    Args:
        subject: A subject that is warmed up.
        first_inference_ms: Latency of the first query.
        longest_seconds: Time limit, once for decoding and once for running.

    Raises:
        ModelError: The model fails, or its golden sample is damaged.
    """

    def parts_of_query() -> tuple[float | None, float, float | None]:
        subject.idle()
        found = subject.session.run_with_breakdown(subject.feeds)
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
    """Median time to decode and fit one image: the golden images in turn, each a PNG in memory."""
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
    """Measure up to 30 times, after one untimed call that does the one-time work (events, imports)."""
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
    """Run a session alone for one second, at its interval, and divide the energy of the GPU by the images.

    The energy that the idle GPU uses between the queries is included. Not run on a GPU yet.

    Returns:
        Millijoules per image; "unavailable" if the session does not run on an NVIDIA GPU or the GPU has no energy
        counter.

    Raises:
        ModelError: The model fails.
    """
    if subject.session.device != "gpu" or (before := gpu_energy_mj()) == "unavailable":
        return "unavailable"
    images = _images_in_a_second(subject)
    after = gpu_energy_mj()
    if after == "unavailable" or after <= before:
        return "unavailable"
    return (after - before) / images


def cpu_energy_mj(subject: Subject) -> Reading:
    """Run a session alone for one second, at its interval, and divide the energy of the processors by the images.

    It includes what the processors use when idle, and for other programs.

    Returns:
        Millijoules per image; "unavailable" if the machine does not show it (`machine.rapl`).

    Raises:
        ModelError: The model fails.
    """
    if not (before := cpu_energy()):
        return "unavailable"
    images = _images_in_a_second(subject)
    energy = energy_between_mj(before, cpu_energy())
    return energy if energy == "unavailable" else energy / images


def _images_in_a_second(subject: Subject) -> int:
    start = clock.now_ns()
    queries = 0
    while clock.seconds_since(start) < _ENERGY_SECONDS:
        subject.query()
        queries += 1
    return queries * subject.batch
