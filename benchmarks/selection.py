"""Which network of a training on few images to keep: rules compared by the error on thousands of other images.

    python -m benchmarks.selection fashion-mnist:20 cifar-10/cat,dog:150 --seeds 2 --output selection.json

A set is a data set's name, classes if not all, and the images of each class that a user would have. They are saved as
the user's own .npz and trained on with the defaults. After every epoch the network's error on up to 800 of the data
set's other training images is recorded beside its validation error and loss; the rules are applied to these rows.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from capsedge.data import Split, load_dataset
from capsedge.errors import CapsedgeError
from capsedge.recipe import load_recipe
from capsedge.statistics import standard_error, wilson_interval
from capsedge.training import Evaluation, Run, Trainer, evaluate
from capsedge.training.start import Quiet

OTHERS = 800


class Row(NamedTuple):
    """One validation: error and loss on the validation images, and the error on the other images."""

    error: float
    loss: float
    others: float


def by_loss(rows: Sequence[Row], _: int) -> Row:
    """The lowest loss."""
    return min(rows, key=lambda row: (row.loss, row.error))


def by_error(rows: Sequence[Row], _: int) -> Row:
    """The lowest error, at equal errors the loss."""
    return min(rows, key=lambda row: (row.error, row.loss))


def the_last(rows: Sequence[Row], _: int) -> Row:
    """The last network."""
    return rows[-1]


def latest(limit: Callable[[float, int], float]) -> Callable[[Sequence[Row], int], Row]:
    """The latest whose error is at most a limit, a function of the lowest error so far and the number of images."""

    def rule(rows: Sequence[Row], images: int) -> Row:
        kept, lowest = rows[0], rows[0].error
        for row in rows:
            lowest = min(lowest, row.error)
            if row.error <= limit(lowest, images):
                kept = row
        return kept

    return rule


RULES: dict[str, Callable[[Sequence[Row], int], Row]] = {
    "lowest loss": by_loss,
    "lowest error": by_error,
    "last": the_last,
    "latest, one standard error": latest(lambda lowest, images: lowest + standard_error(lowest, images)),
    "latest, 95 % interval": latest(lambda lowest, images: wilson_interval(round(lowest * images), images)[1]),
    "(best of all)": lambda rows, _: min(rows, key=lambda row: row.others),
}


class Recording(Trainer):
    """A trainer that also scores each validated network on other images."""

    others: Split
    rows: list[Row]

    def _evaluate(self, network: Any, split: Split) -> Evaluation:
        score = super()._evaluate(network, split)
        if split is self.dataset.validation:
            classes = len(self.dataset.classes)
            others = evaluate(network, self.others, self.devices.device, classes=classes)
            self.rows.append(Row(score.error, score.loss, others.error))
        return score


def main() -> None:
    """Train, apply the rules, print a Markdown table, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="DATA[/CLASS,CLASS]:IMAGES")
    parser.add_argument("--recipe", default="edge-small")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="change a value of the recipe, as in train")
    parser.add_argument("--output", type=Path, help="write every validation to this JSON file")
    options = parser.parse_args()
    print(f"| images of a class | seed | validation images | {' | '.join(RULES)} |\n{'|---' * (3 + len(RULES))}|")
    results = []
    for name in options.sets:
        for seed in range(options.seeds):
            images, rows = trained(name, seed, options)
            found = {rule: choose(rows, images).others for rule, choose in RULES.items()}
            print(
                f"| {name} | {seed} | {images} | {' | '.join(f'{100 * each:.1f} %' for each in found.values())} |",
                flush=True,
            )
            results.append({"set": name, "seed": seed, "validation_images": images, "others": found, "rows": rows})
            if options.output:
                options.output.write_text(json.dumps(results))
    means = [np.mean([result["others"][rule] for result in results]) for rule in RULES]
    print(f"| mean | | | {' | '.join(f'{100 * mean:.2f} %' for mean in means)} |")


def trained(name: str, seed: int, options: argparse.Namespace) -> tuple[int, list[Row]]:
    """Train on a set; returns the number of validation images and the rows."""
    place, _, count = name.rpartition(":")
    place, _, wanted = place.partition("/")
    whole = load_dataset(place)
    assert isinstance(whole.train, Split)
    known = whole.train
    classes = wanted.split(",") if wanted else list(whole.classes)
    rng = np.random.default_rng(seed)
    mine, rest = [], []
    for each in classes:
        places = rng.permutation(np.flatnonzero(known.labels == whole.classes.index(each)))
        mine.append(places[: int(count)])
        rest.append(places[int(count) :][: OTHERS // len(classes)])
    names = np.array(classes)

    def labelled(chosen: list[Any]) -> Split:
        labels = np.repeat(np.arange(len(classes)), [len(each) for each in chosen])
        return Split(known.images[np.concatenate(chosen)], labels)

    with tempfile.TemporaryDirectory() as folder:
        own = labelled(mine)
        file = Path(folder) / "own.npz"
        np.savez(file, images=own.images, labels=names[own.labels])
        recipe = load_recipe(options.recipe, [*options.set, f"train.seed={seed}"], data=str(file))
        trainer = Recording(recipe, load_dataset(str(file)), Run(Path(folder) / "run"), threads=1)
        order = [classes.index(each) for each in trainer.dataset.classes]
        others = labelled(rest)
        trainer.others, trainer.rows = Split(others.images, np.argsort(order)[others.labels]), []
        trainer.start()
        trainer.train(Quiet())
        return len(trainer.dataset.validation), trainer.rows[:-1]  # the last is the kept one's again


if __name__ == "__main__":
    try:
        main()
    except CapsedgeError as error:
        raise SystemExit(f"selection: {error}") from error
