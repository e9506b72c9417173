"""The roofs of this machine, measured, and how far below them a layer stays (Williams, Waterman, Patterson 2009).

A layer needs at least the time of its operations at the best rate of the machine, or that of its bytes at the best
bandwidth, whichever is longer. The rate is that of a large matrix product by the same runtime with the same threads;
the bandwidths are those of copies that fit into a cache, and of one that fits into none: weights of a small network
stay in a cache from run to run, and a roof of the memory alone would then be passed.
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
from capsedge.measure.profile.costs import Cost
from capsedge.onnx_lite.schema import FLOAT, FLOAT16, INT8, INT32, UINT8
from capsedge.onnx_lite.write import Value, one_node_file
from capsedge.runtime.feeds import random_array
from capsedge.runtime.ort.placement import open_on
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.settings import Settings

# Rows and columns of the matrices: large enough for the best rate, and one short enough (1 ms at 100 GFLOP/s) to run
# to its end undisturbed where other work shares the machine.
SIDES = (384, 768)
SECONDS = 0.4  # for each roof
_LARGEST_COPY = 128 << 20  # bytes; a small board has no more to give
_ROUND, _SHARED_ROUND = 1 << 20, 16 << 20  # bytes that are copied between two looks at the clock

# The types that a product is timed in: its operator, the types of both sides, and that of the result.
_PRODUCTS = {
    "fp32": ("MatMul", FLOAT, FLOAT, FLOAT),
    "fp16": ("MatMul", FLOAT16, FLOAT16, FLOAT16),
    "int8": ("MatMulInteger", UINT8, INT8, INT32),
}

COMPUTE = "compute"


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A level of the memory, and how fast a copy within it is.

    Attributes:
        name: Such as `L2 cache` or `memory`.
        capacity_bytes: What it holds; None for the memory.
        copied_bytes: Source and destination of the copy that was timed.
        gb_per_s: Bytes read and written, in 10^9 a second.
    """

    name: str
    capacity_bytes: int | None
    copied_bytes: int
    gb_per_s: float


class Roofs(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine reaches at best, with the threads of the session.

    Attributes:
        threads: Threads that were used.
        product_sides: Rows and columns of the matrices that were multiplied; the best rate counts.
        gflops: By type, 10^9 operations a second; a type that this runtime cannot multiply here is left out.
        levels: From the nearest to the farthest.
    """

    threads: int
    product_sides: tuple[int, ...]
    gflops: dict[str, float]
    levels: tuple[Level, ...]

    def level_of(self, size_bytes: int) -> Level:
        """The nearest level that holds so many bytes."""
        return next(
            (level for level in self.levels if level.capacity_bytes is None or size_bytes <= level.capacity_bytes),
            self.levels[-1],
        )


class Bound(NamedTuple):
    """The least time of a layer.

    Attributes:
        attainable_us: In microseconds.
        bound: What takes it: `compute`, or the level where most of the bytes' time goes.
    """

    attainable_us: float
    bound: str


def bound_of(cost: Cost, roofs: Roofs, *, model_bytes: int) -> Bound | None:
    """The least time that a layer can take on this machine; None where nothing is known to bound it.

    Its weights come from the level that holds the weights of the whole model, because all of them pass by between
    two uses of one; its activations from the level that holds them, because the layer before has just made them.

    Args:
        cost: Of the layer.
        roofs: Of the machine.
        model_bytes: Weights of all layers.
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
    """Measure the roofs of the processor, in about two seconds.

    Args:
        kinds: Types to multiply in; those that cannot be measured are left out.
        settings: Of the session, so that the product runs as the model does.
        seconds: For each roof; None is `SECONDS`.
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
    """An ONNX file that multiplies a square matrix `a` by a constant one: the same runtime computes the roof.

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
    """10^9 operations a second of the fastest of several products; None where this runtime has no such product."""
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
        # One cache with its threads, and so many times: a copy over all of them is too short to hand over.
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
    """10^9 bytes a second, read and written, of the fastest of several copies by so many threads."""
    source = np.ones(size_bytes // 8 // threads * threads).reshape(threads, -1)
    target = np.zeros_like(source)  # zeros are written by hand: what is not touched is no memory yet
    target += source
    # Many in a round where one is as short as Python's call of it, and more where it is handed to other threads.
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
    """The shortest of several runs, in seconds: a roof is what the machine can do, not what it mostly does."""
    work()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)
