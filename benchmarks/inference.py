"""Latency of one image on one thread, from a public PyTorch CapsNet to the int8 file, with the factor of each step.

    python -m benchmarks.inference [--peer FOLDER] [--stem MODEL] [--int8 MODEL] [--rounds 40] [--output FILE.json]

Each rung differs from the previous one in one respect, and all run interleaved. A factor is the median of the rounds'
ratios, with quartiles. The networks of Table I have random weights, since latency does not depend on them. FOLDER
holds `capsulelayers.py` of github.com/XifengGuo/CapsNet-Pytorch (commit 8a5a357), a public network with Table I's
layers; remove its one `.cuda()` to run it on a CPU. It is measured without its decoder, as all others are. Without
FOLDER that rung is left out.

Measure on an idle machine: varying load affects the slow rungs more than the fast ones.
"""

import argparse
import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.textbook import textbook_routing
from capsedge.export.collapse import deployable
from capsedge.export.onnx import to_onnx
from capsedge.files import write_atomically
from capsedge.models import CapsNet, build_network
from capsedge.models.routing.dynamic import DynamicRouting
from capsedge.processor import instruction_sets
from capsedge.recipe import load_recipe
from capsedge.reproduce.steps import Quartiles, quartiles
from capsedge.runtime.open import open_session
from capsedge.runtime.settings import Settings

ROOT = Path(__file__).parents[1]
SHAPE = (28, 28, 1)
CLASSES = 10
VERSIONED = ("torch", "onnxruntime", "numpy")
TURN_S = 0.03
"""Duration in which a rung runs in each round, at least once; its time is the median of these runs."""

Image = NDArray[np.uint8]
Run = Callable[[Image], Any]


class Rung(msgspec.Struct, frozen=True):
    """One rung of the ladder, as measured.

    Attributes:
        name: Network and runtime.
        changes: Difference from the previous rung.
        p50_ms: Median over the rounds, in milliseconds.
        factor: Speedup over the previous rung, by round; None for the first.
    """

    name: str
    changes: str
    p50_ms: float
    factor: Quartiles | None


class Ladder(msgspec.Struct, frozen=True):
    """The record of a run.

    Attributes:
        command: Command that made it.
        instruction_sets: Instruction sets of the processor.
        versions: Versions of the packages that compute.
        load: One-minute load average of the machine before and after.
        rungs: The rungs, slowest first.
        whole: Speedup of the last rung over the first.
    """

    command: str
    instruction_sets: tuple[str, ...] | str
    versions: dict[str, str]
    load: tuple[float, float]
    rungs: tuple[Rung, ...]
    whole: Quartiles


def main() -> None:
    """Measure, print a table in Markdown, and write the record."""
    options = _options()
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        rungs = list(_rungs(options, Path(folder)))
        seconds = interleaved([run for _, _, run in rungs], options.rounds)
    ladder = Ladder(
        command="python -m benchmarks.inference " + " ".join(sys.argv[1:]),
        instruction_sets=instruction_sets(),
        versions={name: str(importlib.import_module(name).__version__) for name in VERSIONED},
        load=(before, os.getloadavg()[0]),
        rungs=tuple(measured([(name, changes) for name, changes, _ in rungs], seconds)),
        whole=_ratio(seconds[0], seconds[-1]),
    )
    if options.output:
        write_atomically(options.output, msgspec.json.format(msgspec.json.encode(ladder)))
    print(table(ladder))


def interleaved(runs: list[Run], rounds: int) -> list[list[float]]:
    """Seconds per image of each rung in each round; the order rotates from round to round."""
    image = np.random.default_rng(0).integers(0, 256, (1, *SHAPE), np.uint8)
    for run in runs:
        _turn(run, image)
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(rounds):
        for place in range(len(runs)):
            rung = (number + place) % len(runs)
            seconds[rung].append(_turn(runs[rung], image))
    return seconds


def measured(names: list[tuple[str, str]], seconds: list[list[float]]) -> Iterator[Rung]:
    """The rungs with their factors."""
    above: list[float] | None = None
    for (name, changes), own in zip(names, seconds, strict=True):
        factor = None if above is None else _ratio(above, own)
        yield Rung(name, changes, 1000 * statistics.median(own), factor)
        above = own


def table(ladder: Ladder) -> str:
    """The record in Markdown."""
    lines = ["| one image, one thread | p50 | times as fast as the line above (quartiles) | by |", f"|{'---|' * 4}"]
    lines.extend(
        f"| {rung.name} | {rung.p50_ms:.3g} ms | {_words(rung.factor)} | {rung.changes} |" for rung in ladder.rungs
    )
    sets = ladder.instruction_sets if isinstance(ladder.instruction_sets, str) else " ".join(ladder.instruction_sets)
    lines.append(f"\nThe last is {_words(ladder.whole)} times as fast as the first. {sets}.")
    return "\n".join(lines)


def _rungs(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, str, Run]]:
    if options.peer:
        yield "CapsNet-Pytorch, PyTorch", "", _peer(options.peer)
    dynamic, collapsed = (_network(f"fashion-mnist-{kind}") for kind in ("dynamic", "l2"))
    yield (
        "Table I, textbook dynamic routing, PyTorch",
        "another writing",
        partial(_torch, _textbook(_network("fashion-mnist-dynamic"))),
    )
    yield "Table I, our dynamic routing, PyTorch", "fewer votes", partial(_torch, dynamic)
    yield "Table I, our dynamic routing, ONNX Runtime", "runtime", _saved(dynamic, folder / "dynamic.onnx")
    yield "Table I, L2, collapsed", "collapse", _saved(collapsed, folder / "collapsed.onnx")
    yield options.stem.parent.name, "stem", session_of(options.stem)
    yield f"{options.stem.parent.name}, int8", "int8", session_of(options.int8)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, metavar="FOLDER")
    parser.add_argument("--stem", type=Path, default=ROOT / "zoo/edge-small/model.onnx", metavar="MODEL")
    parser.add_argument("--int8", type=Path, default=ROOT / "zoo/edge-small/model.int8.onnx", metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    return parser.parse_args()


def _network(recipe: str) -> CapsNet:
    torch.manual_seed(0)
    return build_network(load_recipe(recipe, ["network.decoder=[]"]), classes=CLASSES, shape=SHAPE).eval()


def _textbook(network: CapsNet) -> CapsNet:
    routing = network.routing
    assert isinstance(routing, DynamicRouting)
    routing.forward = partial(textbook_routing, routing.weight)  # type: ignore[method-assign]
    return network


def _peer(folder: Path) -> Run:
    """The layers of the public network up to the lengths, for pixels of 0 to 1 as in its training."""
    sys.path.insert(0, str(folder))
    layers = importlib.import_module("capsulelayers")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 256, 9),
        nn.ReLU(),
        layers.PrimaryCapsule(256, 256, 8, kernel_size=9, stride=2, padding=0),
        layers.DenseCapsule(in_num_caps=32 * 6 * 6, in_dim_caps=8, out_num_caps=CLASSES, out_dim_caps=16, routings=3),
    ).eval()
    return lambda image: network(_pixels(image)).norm(dim=-1)


def _torch(network: CapsNet, image: Image) -> Any:
    return network(_pixels(image)).lengths


def _pixels(image: Image) -> torch.Tensor:
    """Values of 0 to 1, [1, 1, height, width]; a view, since torch treats a permuted grey image as channels last."""
    return torch.from_numpy(image).view(1, 1, *SHAPE[:2]).float() / 255


def _saved(network: CapsNet, file: Path) -> Run:
    onnx.save(to_onnx(deployable(network), SHAPE), file)
    return session_of(file)


def session_of(file: Path) -> Run:
    """Runs a file on one thread of the CPU."""
    session = open_session(file, Settings(threads=1))
    return lambda image: session.run_raw({"image": image})


def _turn(run: Run, image: Image) -> float:
    """Seconds per run: the median of the runs in one turn."""
    spent: list[float] = []
    end = time.perf_counter() + TURN_S
    while not spent or time.perf_counter() < end:
        start = time.perf_counter()
        run(image)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def _ratio(above: list[float], own: list[float]) -> Quartiles:
    return quartiles([first / second for first, second in zip(above, own, strict=True)])


def _words(ratio: Quartiles | None) -> str:
    return "" if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


if __name__ == "__main__":
    main()
