"""A network of a few thousand weights, for tests that need a real training in a second."""

import os
import signal
from pathlib import Path

from capsedge.data import Dataset
from capsedge.recipe import Recipe, load_recipe
from capsedge.training import Run, Trainer, dataset_of


def tiny_recipe(*overrides: str, base: str = "fashion-mnist-l2-small") -> Recipe:
    """A recipe of tiny widths; b moves fast enough to be seen in a few steps."""
    learns_b = load_recipe(base).routing.kind in ("l1", "l2")
    return load_recipe(
        base,
        [
            "network.filters=8",
            "network.capsule_types=2",
            "network.primary_dim=4",
            "network.class_dim=4",
            "data.source=fashion-mnist-subset",
            "train.precision=fp32",  # the numbers of a test are the same on every machine
            "train.batch_size=64",
            "train.epochs=3",
            *(["routing.learning_rate=0.01"] if learns_b else []),
            *overrides,
        ],
    )


class Silent:
    """An observer of a training that keeps nothing."""

    def started(self, position: object, epochs: int, batches: int) -> None:
        """Nothing."""

    def stepped(self, images: int) -> None:
        """Nothing."""

    def measured(self, row: object) -> None:
        """Nothing."""


class Interrupting(Silent):
    """Presses Ctrl-C after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def stepped(self, images: int) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def train_tiny(path: Path, recipe: Recipe, dataset: Dataset | None = None) -> Run:
    """A finished run in `path`."""
    run = Run(path)
    trainer = Trainer(recipe, dataset or dataset_of(recipe.data), run, device="cpu")
    trainer.start()
    trainer.train(Silent())
    return run
