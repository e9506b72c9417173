"""How long to train, and in which steps, where the recipe leaves it to the number of images.

Ten epochs of a few hundred images are a few dozen steps, after which a network has learned nothing yet. So what is
kept is the number of steps: small sets get small batches and many epochs.
"""

import math

from msgspec.structs import replace

from capsedge.recipe import Recipe

FEWEST_STEPS = 3000
FEWEST_EPOCHS = 30
BATCHES = 40  # in an epoch, at least, as far as the batch sizes allow
SMALLEST_BATCH, LARGEST_BATCH = 16, 128
NEAR_NOTHING = 1000  # steps after which hardly any network is done


def planned(recipe: Recipe, images: int) -> Recipe:
    """The recipe with numbers for `train.batch_size` and `train.epochs` where it has 0.

    The batch is the largest power of two, 16 to 128, of which an epoch has 40 or more, and the rate follows its
    square root from the recipe's, which is for 128. The epochs make 3,000 steps, and are 30 or more.

    Args:
        recipe: Any recipe.
        images: In an epoch.
    """
    train = recipe.train
    if not train.batch_size:
        fitting = max(1, images // BATCHES)
        size = min(LARGEST_BATCH, max(SMALLEST_BATCH, 1 << (fitting.bit_length() - 1)))
        rate = train.learning_rate * math.sqrt(size / LARGEST_BATCH)
        train = replace(train, batch_size=size, learning_rate=float(f"{rate:.3g}"))
    if not train.epochs:
        epochs = max(FEWEST_EPOCHS, math.ceil(FEWEST_STEPS / math.ceil(images / train.batch_size)))
        train = replace(train, epochs=epochs)
    return replace(recipe, train=train)
