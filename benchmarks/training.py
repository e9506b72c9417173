"""Time of one training step, each routing kind in turn in one interleaved run: `python benchmarks/training.py`.

A step is one iteration of Algorithm 1 on real Fashion-MNIST images: weight step, and routing step where the kind
has one. Every round takes one step of each kind, in an order that moves on from round to round, so that a busy
moment of the machine meets all of them; ratios are taken within a round.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from capsedge.data import load_dataset
from capsedge.recipe import load_recipe
from capsedge.training import Run, Trainer

KINDS = ("frozen", "l2", "l1", "dynamic")


def main() -> None:
    """Parse, measure, print a table on the screen and, where asked for, JSON in a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--width", choices=("table1", "small"), default="table1", help="recipes fashion-mnist-KIND[-small]"
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--no-decoder", action="store_true", help="leave the reconstruction network out")
    parser.add_argument("--set", action="append", default=[], help="change a value of every recipe, as in train")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        trainers = {kind: _trainer(kind, options, Path(folder)) for kind in KINDS}
        seconds = measure(trainers, options.rounds)
    print(
        f"one step, batch {options.batch}, {options.width}, {options.precision}, "
        f"{'with' if trainers['l2'].network.decoder else 'no'} decoder, {options.rounds} rounds, "
        f"{torch.get_num_threads()} threads"
    )
    print(f"{'kind':<10} {'median ms':>10} {'images/s':>10} {'x frozen':>10} {'(quartiles)':>16}")
    for kind in KINDS:
        median = statistics.median(seconds[kind])
        ratios = [own / base for own, base in zip(seconds[kind], seconds["frozen"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        spread = f"({low:.3f} to {high:.3f})"
        print(f"{kind:<10} {1000 * median:>10.1f} {options.batch / median:>10.0f} {middle:>10.3f} {spread:>16}")
    if options.json:
        arguments = {key: str(value) for key, value in vars(options).items()}
        options.json.write_text(json.dumps({"options": arguments, "seconds": seconds}, indent=1))


def measure(trainers: dict[str, Trainer], rounds: int) -> dict[str, list[float]]:
    """Seconds of `rounds` steps of each trainer, after two that are not counted."""
    batches = {kind: _endless(trainer) for kind, trainer in trainers.items()}
    seconds: dict[str, list[float]] = {kind: [] for kind in trainers}
    order = list(trainers)
    for number in range(rounds + 2):
        order.append(order.pop(0))
        for kind in order:
            images, labels = next(batches[kind])
            start = time.perf_counter()
            trainers[kind].iterate(images, labels)
            if images.is_cuda:
                torch.cuda.synchronize()
            if number >= 2:
                seconds[kind].append(time.perf_counter() - start)
    return seconds


def _trainer(kind: str, options: argparse.Namespace, folder: Path) -> Trainer:
    recipe = load_recipe(
        f"fashion-mnist-{kind}{'-small' if options.width == 'small' else ''}",
        [
            f"train.batch_size={options.batch}",
            f"train.precision={options.precision}",
            *(["network.decoder=[]"] if options.no_decoder else []),
            *options.set,
        ],
    )
    return Trainer(recipe, load_dataset("fashion-mnist-subset"), Run(folder / kind))


def _endless(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor]]:
    """Whole batches for ever; the uneven last one of an epoch would be a cheaper step."""
    epoch = 0
    while True:
        for images, labels in trainer.batches.epoch(epoch):
            if len(labels) == trainer.recipe.train.batch_size:
                yield images, labels
        epoch += 1


if __name__ == "__main__":
    main()
