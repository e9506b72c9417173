"""How long to train, and in which steps, by the number of images."""

import math

import pytest

from capsedge.recipe import load_recipe
from capsedge.training.plan import planned


@pytest.mark.parametrize(
    ("images", "batch", "epochs"),
    [
        (20, 16, 1500),
        (384, 16, 125),
        (639, 16, 75),
        (1280, 32, 75),
        (5120, 128, 75),
        (20_000, 128, 30),
        (55_000, 128, 30),
    ],
)
def test_small_sets_get_small_batches_and_many_epochs(images: int, batch: int, epochs: int) -> None:
    recipe = load_recipe("edge-small", ["train.epochs=0", "train.batch_size=0", "train.learning_rate=4e-3"])
    train = planned(recipe, images, channels=1).train
    assert (train.batch_size, train.epochs) == (batch, epochs)
    assert train.epochs * math.ceil(images / batch) >= 3000
    assert train.learning_rate == pytest.approx(4e-3 * math.sqrt(batch / 128), rel=1e-2)


def test_what_the_recipe_says_stays() -> None:
    said = load_recipe("edge-small", ["train.epochs=7", "train.batch_size=50"])
    assert planned(said, 100, channels=3) == said
    epochs_left = planned(load_recipe("edge-small", ["train.epochs=0", "train.batch_size=50"]), 100, channels=1)
    assert (epochs_left.train.epochs, epochs_left.train.learning_rate) == (1500, said.train.learning_rate)


def test_own_images_are_planned_standardized_and_balanced_and_known_data_is_not() -> None:
    own = load_recipe("edge-small", data="photos")
    assert (own.train.epochs, own.train.batch_size, own.train.best, own.data.balance) == (0, 0, "latest", True)
    assert own.data.standardize
    assert own.data.flip == "auto"
    assert [planned(own, 100, channels=count).data.flip for count in (1, 3)] == [False, True]
    known = load_recipe("edge-small", data="mnist")
    assert min(known.train.epochs, known.train.batch_size) > 0
    assert load_recipe("edge-small", ["train.epochs=5"], data="photos").train.epochs == 5
