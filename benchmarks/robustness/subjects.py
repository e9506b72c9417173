"""The measured networks: a run's network in torch, which has gradients, or an exported file, which has none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ablation.linear import LinearNet, run_in
from benchmarks.robustness.attacks import Loss, cross_entropy
from capsedge.data import Split
from capsedge.models import CapsNet, margin_loss
from capsedge.recipe import DataRecipe
from capsedge.runtime.batches import run_batches
from capsedge.runtime.open import open_session
from capsedge.runtime.session import contract_needed
from capsedge.runtime.settings import Settings
from capsedge.training import Run, lengths_of

BATCH = 250
VARIATIONS = ("shift", "crop", "flip", "rotation", "scale", "erase", "brightness", "contrast")


@dataclass(frozen=True)
class MeasuredNetwork:
    """One network.

    Attributes:
        name: Name in the table.
        classes: Class names in the order of its lengths.
        shape: Height, width and channels of an image.
        provider: `torch`, or the execution provider.
        recipe: Name of the recipe.
        routing: Kind of routing; `linear head` for a network of `benchmarks.ablation heads` without capsules.
        data: Description of its training data.
        data_sha256: Hash of those images; None if only the description is known.
        variations: Augmentation of the training images, by the recipe's keys; None if unknown.
        lengths: Computes capsule lengths [images, classes] of uint8 images; a linear head's are its probabilities.
        network: The network in torch; None for a file.
        loss: The loss of its training, which attacks maximize.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    provider: str
    recipe: str
    routing: str
    data: str
    data_sha256: str | None
    variations: dict[str, float] | None
    lengths: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    network: CapsNet | None
    loss: Loss = margin_loss


@contextmanager
def opened(path: Path) -> Iterator[MeasuredNetwork]:
    """Load the run in a folder, or a file that `capsedge export` made.

    Raises:
        ModelError: The path is neither, or damaged.
    """
    if path.is_dir():
        yield of_run(run_in(path))
    else:
        with of_file(path) as subject:
            yield subject


def of_run(run: Run) -> MeasuredNetwork:
    """The network of a run's best epoch, in float32."""
    network = run.load_best().requires_grad_(False)
    record, recipe = run.read_record(), run.read_recipe()
    linear = isinstance(network, LinearNet)

    def lengths(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        unlabelled = Split(images, np.zeros(len(images), np.int64))
        found = lengths_of(network, unlabelled, torch.device("cpu"))
        return (found.exp() if linear else found).numpy()

    return MeasuredNetwork(
        name=run.path.resolve().name,
        classes=record.classes,
        shape=record.shape,
        provider="torch",
        recipe=recipe.name,
        routing="linear head" if linear else recipe.routing.kind,
        data=record.data,
        data_sha256=record.data_sha256,
        variations=variations_of(recipe.data),
        lengths=lengths,
        network=network,
        loss=cross_entropy if linear else margin_loss,
    )


@contextmanager
def of_file(file: Path) -> Iterator[MeasuredNetwork]:
    """An exported file in its runtime."""
    with open_session(file, Settings(batch=BATCH)) as session:
        contract = contract_needed(session)
        yield MeasuredNetwork(
            name=f"{file.resolve().parent.name}/{file.name}",
            classes=contract.classes,
            shape=contract.input.shape,
            provider=session.provider,
            recipe=contract.recipe,
            routing=contract.routing,
            data=contract.data,
            data_sha256=None,
            variations=None,
            lengths=lambda images: run_batches(session, images, BATCH).lengths,
            network=None,
        )


def variations_of(recipe: DataRecipe) -> dict[str, float]:
    """The augmentation of training images in a recipe, by its keys."""
    return {key: float(getattr(recipe, key)) for key in VARIATIONS if getattr(recipe, key)}
