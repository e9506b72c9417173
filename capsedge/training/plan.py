"""Batch size, number of epochs and mirroring from the images, where the recipe leaves them open.

Ten epochs of a few hundred images are a few dozen steps, after which a network has hardly learned anything. So the
number of steps is kept: small data sets get small batches and many epochs.
"""

import math

from msgspec.structs import replace

from capsedge.recipe import Recipe

FEWEST_STEPS = 3000
FEWEST_EPOCHS = 30
BATCHES = 40  # least number in an epoch, as far as the batch sizes allow
SMALLEST_BATCH, LARGEST_BATCH = 16, 128
COLOUR = 3  # channels
FEW_STEPS = 1000  # steps after which hardly any network has finished learning


def planned(recipe: Recipe, images: int, *, channels: int) -> Recipe:
    """The recipe with numbers for `train.batch_size` and `train.epochs` where it has 0, and `data.flip` where `auto`.

    The batch size is the largest power of two, 16 to 128, with 40 or more batches in an epoch. The learning rate is
    the recipe's, which is for 128, scaled by the square root of the batch size. The epochs give 3,000 steps, and are
    at least 30.

    Args:
        recipe: Any recipe.
        images: Images in an epoch.
        channels: Channels of an image: 1 is grey, 3 is colour.
    """
    data = recipe.data
    if data.flip == "auto":
        data = replace(data, flip=channels == COLOUR)
    train = recipe.train
    if not train.batch_size:
        fitting = max(1, images // BATCHES)
        size = min(LARGEST_BATCH, max(SMALLEST_BATCH, 1 << (fitting.bit_length() - 1)))
        rate = train.learning_rate * math.sqrt(size / LARGEST_BATCH)
        train = replace(train, batch_size=size, learning_rate=float(f"{rate:.3g}"))
    if not train.epochs:
        epochs = max(FEWEST_EPOCHS, math.ceil(FEWEST_STEPS / math.ceil(images / train.batch_size)))
        train = replace(train, epochs=epochs)
    return replace(recipe, train=train, data=data)
