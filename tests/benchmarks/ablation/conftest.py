"""A tiny network of the edge family, and the images that it is trained on."""

import pytest

from capsedge.data import Dataset, load_dataset
from capsedge.recipe import Recipe, load_recipe

DATA = "fashion-mnist-subset"
TINY = (
    "network.blocks=[[4, 2], [4, 2]]",
    "network.capsule_types=1",
    "network.class_dim=4",
    "train.batch_size=400",
    "train.precision=fp32",  # the numbers of a test are the same on every machine
)


@pytest.fixture(scope="session")
def subset() -> Dataset:
    """The images."""
    return load_dataset(DATA)


@pytest.fixture
def recipe() -> Recipe:
    """The base of the studies."""
    return load_recipe("edge-nano", [*TINY, "train.epochs=2"], data=DATA)
