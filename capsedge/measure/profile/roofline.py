"""The measured roofline of this machine, and the distance of a layer from it (Williams, Waterman, Patterson 2009).

A layer needs at least the time of its operations at the machine's peak rate, or of its bytes at the peak bandwidth,
whichever is longer. The peak rate is that of a large matrix product by the same runtime with the same threads. The
bandwidths are those of copies that fit into a cache, and of one that does not: the weights of a small network stay in
a cache between runs, and a layer could then exceed the bandwidth of the memory.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

import msgspec
import numpy as np

from capsedge.cores import usable_cores
from capsedge.errors import CapsedgeError
from capsedge.measure.profile.caches import caches
from capsedge.measure.profile.costs import NodeCost
from capsedge.onnx_lite.schema import FLOAT, FLOAT16, INT8, INT32, UINT8
from capsedge.onnx_lite.write import Value, one_node_file
from capsedge.runtime.feeds import random_array
from capsedge.runtime.ort.placement import open_on
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.settings import Settings

# Rows and columns of the matrices: one large enough for the peak rate, and one whose product is short enough (1 ms at
# 100 GFLOP/s) to finish undisturbed on a shared machine.
SIDES = (384, 768)
SECONDS = 0.4  # for each roof
_LARGEST_COPY = 128 << 20  # bytes; small boards have little memory
_ROUND, _SHARED_ROUND = 1 << 20, 16 << 20  # bytes that are copied between two readings of the clock

# For each type of product: its operator, the types of both inputs, and that of the output.
_PRODUCTS = {
    "fp32": ("MatMul", FLOAT, FLOAT, FLOAT),
    "fp16": ("MatMul", FLOAT16, FLOAT16, FLOAT16),
    "int8": ("MatMulInteger", UINT8, INT8, INT32),
}

COMPUTE = "compute"


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A level of the memory hierarchy with its copy bandwidth.

    Attributes:
        name: Such as `L2 cache` or `memory`.
        capacity_bytes: Its capacity; None for the memory.
        copied_bytes: Bytes of source and destination of the timed copy together.
        gb_per_s: 10^9 bytes per second, read and written together.
    """

    name: str
    capacity_bytes: int | None
    copied_bytes: int
    gb_per_s: float


class Roofs(msgspec.Struct, frozen=True, kw_only=True):
    """The measured roofline of this machine with the threads of the session.

    Attributes:
        threads: Number of threads.
        product_sides: Rows and columns of the multiplied matrices; the best rate counts.
        gflops: 10^9 operations per second by type; types that this runtime cannot multiply here are missing.
        levels: From the fastest to the slowest.
    """

    threads: int
    product_sides: tuple[int, ...]
    gflops: dict[str, float]
    levels: tuple[Level, ...]

    def level_of(self, size_bytes: int) -> Level:
        """The fastest level with enough capacity."""
        return next(
            (level for level in self.levels if level.capacity_bytes is None or size_bytes <= level.capacity_bytes),
            self.levels[-1],
        )


class Bound(NamedTuple):
    """The minimum time of a layer.

    Attributes:
        attainable_us: In microseconds.
        bound: What limits it: `compute`, or the memory level that takes most of the transfer time.
    """

    attainable_us: float
    bound: str


def bound_of(cost: NodeCost, roofs: Roofs, *, model_bytes: int) -> Bound | None:
    """The minimum time of a layer on this machine; None where no bound is known.

    Its weights are read from the level that holds the weights of the whole model, because all of them are read
    between two uses of one; its activations from the level that holds them, because the previous layer has just
    written them.

    Args:
        cost: Cost of the layer.
        roofs: Roofline of the machine.
        model_bytes: Bytes of the weights of all layers.
    """
    weights, activations = roofs.level_of(model_bytes), roofs.level_of(cost.activation_bytes)
    weights_us = cost.weight_bytes / weights.gb_per_s / 1e3
    activations_us = cost.activation_bytes / activations.gb_per_s / 1e3
    rate = roofs.gflops.get(cost.kind or "")
    compute_us = 0.0 if rate is None else (cost.flops or 0) / rate / 1e3
    attainable_us = max(compute_us, weights_us + activations_us)
    if attainable_us == 0:
        return None
    if compute_us == attainable_us:
        return Bound(attainable_us, COMPUTE)
    return Bound(attainable_us, (weights if weights_us > activations_us else activations).name)


def measure_roofs(kinds: set[str], settings: Settings, *, seconds: float | None = None) -> Roofs:
    """Measure the roofline of the processor, in about two seconds.

    Args:
        kinds: Types of the products; those that cannot be measured are omitted.
        settings: Settings of the session, so that the product runs as the model does.
        seconds: Time for each roof; None for `SECONDS`.
    """
    seconds = SECONDS if seconds is None else seconds
    measured = {kind: _product_rate(kind, settings, seconds) for kind in sorted(kinds & _PRODUCTS.keys())}
    threads = settings.threads or usable_cores()
    return Roofs(
        threads=threads,
        product_sides=SIDES,
        gflops={kind: rate for kind, rate in measured.items() if rate is not None},
        levels=tuple(_levels(threads, seconds)),
    )


def product_file(kind: str, side: int) -> bytes:
    """An ONNX file that multiplies a square matrix `a` by a constant one, to measure the roof with the same runtime.

    Args:
        kind: `fp32`, `fp16` or `int8`.
        side: Rows and columns of both.
    """
    op, left, right, made = _PRODUCTS[kind]
    shape = (side, side)
    return one_node_file(
        op,
        "product",
        ("a", "b"),
        takes=Value("a", left, shape),
        makes=Value("c", made, shape),
        weight=("b", random_array(shape, np.dtype(right.dtype))),
    )


def _product_rate(kind: str, settings: Settings, seconds: float) -> float | None:
    """10^9 operations per second of the fastest of several products; None where this runtime cannot compute it."""
    rates = []
    with TemporaryDirectory() as folder:
        for side in SIDES:
            file = Path(folder) / f"product-{side}.onnx"
            file.write_bytes(product_file(kind, side))
            feeds = {"a": random_array((side, side), np.dtype(_PRODUCTS[kind][1].dtype))}
            try:
                session = open_on(load_onnxruntime("cpu"), file, settings)
            except CapsedgeError:
                return None
            run = partial(session.run, None, feeds)
            rates.append(2 * side**3 / _shortest(run, seconds / len(SIDES)) / 1e9)
    return max(rates)


def _levels(threads: int, seconds: float) -> Iterator[Level]:
    second, third = caches(2), caches(3)
    used = second.used_by(threads)
    near, far = used * second.size_bytes, third.used_by(threads) * third.size_bytes
    if near:
        # Measure one cache with its threads and multiply: a copy over all caches is too short to distribute.
        copied = second.size_bytes // 2
        rate = used * _copy_rate(copied // 2, ceil(threads / used), seconds)
        yield Level(name="L2 cache", capacity_bytes=near, copied_bytes=copied * used, gb_per_s=rate)
    if far > 2 * near:
        copied = far // 2
        rate = _copy_rate(copied // 2, threads, seconds)
        yield Level(name="L3 cache", capacity_bytes=far, copied_bytes=copied, gb_per_s=rate)
    size = min(max(4 * far, 64 << 20), _LARGEST_COPY)
    rate = _copy_rate(size, threads, seconds)
    yield Level(name="memory", capacity_bytes=None, copied_bytes=2 * size, gb_per_s=rate)


def _copy_rate(size_bytes: int, threads: int, seconds: float) -> float:
    """10^9 bytes per second, read and written, of the fastest of several copies by a number of threads."""
    source = np.ones(size_bytes // 8 // threads * threads).reshape(threads, -1)
    target = np.zeros_like(source)
    target += source  # the system allocates pages of zeros only when they are written
    # Several copies in a round, because one is as short as its call, and more where threads must be started.
    copies = max(1, (_ROUND if threads == 1 else _SHARED_ROUND) // size_bytes)
    rows = range(threads)

    def copy(row: int) -> None:
        for _ in range(copies):
            np.copyto(target[row], source[row])

    if threads == 1:
        shortest = _shortest(lambda: copy(0), seconds)
    else:
        with ThreadPoolExecutor(threads) as pool:
            shortest = _shortest(lambda: list(pool.map(copy, rows)), seconds)
    return 2 * source.nbytes * copies / shortest / 1e9


def _shortest(work: Callable[[], object], seconds: float) -> float:
    """The shortest of several runs, in seconds, because a roof is the machine's best performance."""
    work()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)
