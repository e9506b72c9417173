"""Time of a training step with changes that might make it faster: `python -m benchmarks.variants`.

The changes are measured alone and combined, interleaved with the unchanged step and with two repetitions of it, which
show the noise. docs/decisions/0013 has the conclusion. `compile` needs a C++ compiler.
"""

import argparse
import statistics
from pathlib import Path

import torch

from capsedge.data import load_dataset
from capsedge.recipe import load_recipe
from capsedge.reproduce.steps import measure, ratios
from capsedge.training import Run, Trainer

BASE = "as it is"
CHANGES = ("again", BASE, "fused", "channels_last", "fused channels_last", "fused compile", "third")


def main() -> None:
    """Parse, measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="fashion-mnist-l2", help="a recipe's name, as in train")
    parser.add_argument("--data", default="fashion-mnist-subset", help="a data set's name or folder")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    trainers = {name: trainer(name, options) for name in CHANGES}
    seconds = measure(trainers, rounds=options.rounds, warm_up=3)
    precision = trainers[BASE].precision.precision
    print(f"{options.recipe}, batch {options.batch}, {precision}, {options.rounds} rounds\n")
    print("| change | median ms | times as it is (quartiles) |\n|---|---|---|")
    for name in CHANGES:
        ratio = ratios(seconds, name, BASE)
        median = 1000 * statistics.median(seconds[name])
        print(f"| {name} | {median:.0f} | {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) |")


def trainer(name: str, options: argparse.Namespace) -> Trainer:
    """A trainer with the changes that the name lists."""
    recipe = load_recipe(
        options.recipe,
        [
            f"data.source={options.data}",
            f"train.batch_size={options.batch}",
            f"train.precision={options.precision}",
        ],
    )
    made = Trainer(recipe, load_dataset(recipe.data.source), Run(Path("unused")))  # start() would write it
    if "fused" in name:
        for group in made.optimizer.param_groups:
            group["fused"] = True
    if "channels_last" in name:
        for conv in (each for each in made.network.modules() if isinstance(each, torch.nn.Conv2d)):
            conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs leave it out
    if "compile" in name:
        made.network.primary.compile(dynamic=False)
    return made


if __name__ == "__main__":
    main()
