"""A million inferences and a hundred thousand images by the model that ships: `make soak`.

The memory stays flat and every answer is the one that the image got first, on a quiet machine and on a loaded one.
"""

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import capsedge

_IMAGES = 1_000  # different ones, which are asked for again and again
_BROKEN = 3  # files in their folder that are no images
_GROWTH_MIB = 8.0  # between the first tenth and the end


def resident_mib() -> float:
    """Memory of this process that is in RAM (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def inferences(model: capsedge.Model, images: np.ndarray, count: int) -> tuple[int, float, float]:
    """Classify arrays one by one.

    Returns:
        How many predictions differed from the image's first, the growth of the memory in MiB, and inferences a
        second.
    """
    first = [model.predict(image) for image in images]
    different, start, base = 0, time.perf_counter(), 0.0
    for number in range(count):
        different += model.predict(images[number % len(images)]) != first[number % len(images)]
        if number == count // 10:
            base = resident_mib()
    return different, resident_mib() - base, count / (time.perf_counter() - start)


def files(model: capsedge.Model, folder: Path, count: int) -> tuple[int, float, float]:
    """Classify the files of a folder over and over, in batches; some of them are no images.

    Returns:
        As `inferences`.
    """
    first: dict[str, capsedge.Prediction | capsedge.Broken] = {}
    different, done, start, base = 0, 0, time.perf_counter(), 0.0
    while done < count:
        for answer in model.stream(folder, batch=32):
            different += first.setdefault(answer.path, answer) != answer
            done += 1
        if not base and done >= count // 10:
            base = resident_mib()
    broken = sum(isinstance(answer, capsedge.Broken) for answer in first.values())
    return different + abs(broken - _BROKEN), resident_mib() - base, done / (time.perf_counter() - start)


def _burn() -> None:
    while True:
        pass


@contextlib.contextmanager
def loaded(processes: int) -> Iterator[None]:
    """Keep the processor busy with other processes."""
    burning = [multiprocessing.get_context("spawn").Process(target=_burn, daemon=True) for _ in range(processes)]
    for process in burning:
        process.start()
    try:
        yield
    finally:
        for process in burning:
            process.kill()


def make_images(folder: Path, count: int) -> np.ndarray:
    """Write images of odd sizes and a few files that are none.

    Returns:
        The same number of arrays of the model's size, uint8 [count, 28, 28].
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = rng.integers(8, 80, 2)
        Image.fromarray(rng.integers(0, 256, (height, width), np.uint8)).save(folder / f"{number:05}.png")
    for number in range(_BROKEN):
        (folder / f"broken-{number}.png").write_bytes(rng.bytes(100))
    return rng.integers(0, 256, (count, 28, 28), np.uint8)


def main() -> int:
    """Print a line for each run.

    Returns:
        1 where an answer differed or the memory grew, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.soak", description=__doc__)
    parser.add_argument("--inferences", type=int, default=1_000_000, help="arrays, one by one (default: 1000000)")
    parser.add_argument("--images", type=int, default=100_000, help="files of a folder, in batches (default: 100000)")
    parser.add_argument("--model", default="builtin", help="name or file of the model (default: builtin)")
    given = parser.parse_args()
    failed = 0
    print(
        "| what | machine | count | per second | other answers | memory | result |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="capsedge-soak-") as place:
        folder = Path(place)
        images = make_images(folder, _IMAGES)
        for machine, processes, share in (("quiet", 0, 1.0), ("loaded", 2 * (os.cpu_count() or 1), 0.1)):
            with loaded(processes), capsedge.load(given.model) as model:
                for what, found, count in (
                    (
                        "inferences",
                        inferences(model, images, int(given.inferences * share)),
                        int(given.inferences * share),
                    ),
                    ("images", files(model, folder, int(given.images * share)), int(given.images * share)),
                ):
                    different, growth, rate = found
                    holds = not different and growth < _GROWTH_MIB
                    failed += not holds
                    print(
                        f"| {what} | {machine} | {count:,} | {rate:,.0f} | {different} | {growth:+.1f} MiB "
                        f"| {'holds' if holds else '**broken**'} |",
                        flush=True,
                    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
