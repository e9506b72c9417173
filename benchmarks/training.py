"""Time and memory of one training step of every routing kind: `python benchmarks/training.py`.

A step is one iteration of Algorithm 1 on real Fashion-MNIST images: minibatch, weight step, and the routing step if
the kind has one. For each batch size, with and without the decoder, the steps of all kinds in all precisions are
interleaved; ratios are taken within a round. `textbook` is dynamic routing by the textbook (benchmarks/textbook.py).
Peak memory is that of a separate process, including Python, torch and the images.
"""

import argparse
import json
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.textbook import textbook_routing
from capsedge.data import load_dataset
from capsedge.models.routing import DynamicRouting
from capsedge.recipe import Recipe, load_recipe
from capsedge.reproduce.steps import measure, peak_memory, ratios
from capsedge.training import Run, Trainer, launch
from capsedge.training.precision import choose_precision

KINDS = ("frozen", "l2", "l1", "backprop", "dynamic", "kl", "em")
TEXTBOOK = "textbook"
PRECISIONS = ("fp32", "bf16")


def main() -> None:
    """Parse, measure, print Markdown tables, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--width", choices=("table1", "small"), default="table1", help="recipes fashion-mnist-KIND[-small]"
    )
    parser.add_argument("--kinds", nargs="+", default=[*KINDS, TEXTBOOK], choices=[*KINDS, TEXTBOOK])
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128])
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, help="default: fp32, and bf16 on hardware with bf16 units"
    )
    parser.add_argument("--decoder", nargs="+", choices=("with", "without"), default=("with", "without"))
    parser.add_argument("--set", action="append", default=[], help="change a value of every recipe, as in train")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--no-memory", action="store_true", help="do not measure the peak memory")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    options = parser.parse_args()
    options.precision = options.precision or precisions()

    results = [
        setting(options, batch=batch, decoder=decoder == "with")
        for decoder in options.decoder
        for batch in options.batch
    ]
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def precisions() -> tuple[str, ...]:
    """fp32, and bf16 on a device with bf16 units; without them a step takes about 15 times as long."""
    if choose_precision("auto", launch().device).precision == "bf16":
        return PRECISIONS
    print("bf16 is left out: torch has no bf16 units to use here; --precision bf16 asks for it", file=sys.stderr)
    return PRECISIONS[:1]


def setting(options: argparse.Namespace, *, batch: int, decoder: bool) -> dict[str, Any]:
    """Measure and show all kinds and precisions at one batch size."""
    cases = {
        f"{kind} {precision}": case(options, kind, precision, batch=batch, decoder=decoder)
        for precision in options.precision
        for kind in options.kinds
    }
    with tempfile.TemporaryDirectory() as folder:
        trainers = {label: trainer(label, recipe, Path(folder)) for label, recipe in cases.items()}
        seconds = measure(trainers, rounds=options.rounds)
    memory = {
        label: None if options.no_memory or label.startswith(TEXTBOOK) else peak_memory(recipe)
        for label, recipe in cases.items()
    }
    print(
        f"\nbatch {batch}, {'with' if decoder else 'without'} decoder, {options.width}, {options.rounds} rounds, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}\n"
    )
    print("| routing | median ms | images/s | x frozen, same precision (quartiles) | peak MB |")
    print("|---|---|---|---|---|")
    for label in cases:
        median = statistics.median(seconds[label])
        base = f"frozen {label.split()[1]}"
        times = ""
        if base in seconds:
            ratio = ratios(seconds, label, base)
            times = f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
        peak = memory[label]
        held = "" if peak is None else f"{peak.peak_bytes / 1e6:.0f}"
        print(f"| {label} | {1000 * median:.0f} | {batch / median:.0f} | {times} | {held} |")
    factors(seconds)
    sys.stdout.flush()
    return {
        "batch": batch,
        "decoder": decoder,
        "width": options.width,
        "seconds": seconds,
        "peak_bytes": {label: peak.peak_bytes for label, peak in memory.items() if peak is not None},
    }


def factors(seconds: dict[str, list[float]]) -> None:
    """Print the speedup over the textbook of each step towards the collapsed network."""
    base = f"{TEXTBOOK} fp32"
    if base not in seconds:
        return
    print("\ntimes as fast as the textbook in fp32: ", end="")
    chain = [label for label in ("dynamic fp32", "dynamic bf16", "l2 fp32", "l2 bf16") if label in seconds]
    print(", ".join(f"{label} {ratios(seconds, base, label).median:.2f}" for label in chain))


def case(options: argparse.Namespace, kind: str, precision: str, *, batch: int, decoder: bool) -> Recipe:
    """The recipe of one kind in one precision."""
    name = f"fashion-mnist-{'dynamic' if kind == TEXTBOOK else kind}{'-small' if options.width == 'small' else ''}"
    layers = "[512, 1024]" if decoder else "[]"
    return load_recipe(
        name,
        [
            "data.source=fashion-mnist-subset",
            f"train.batch_size={batch}",
            f"train.precision={precision}",
            f"network.decoder={layers}",
            *options.set,
        ],
    )


def trainer(label: str, recipe: Recipe, folder: Path) -> Trainer:
    """A trainer of a recipe; for `textbook`, with the routing replaced by the textbook's."""
    made = Trainer(recipe, load_dataset(recipe.data.source), Run(folder / label))
    if label.startswith(TEXTBOOK):
        routing = made.network.routing
        assert isinstance(routing, DynamicRouting)
        routing.forward = partial(textbook_routing, routing.weight)  # type: ignore[method-assign]
    return made


if __name__ == "__main__":
    main()
